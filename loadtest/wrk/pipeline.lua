-- Pipelining for wrk: sends DEPTH requests (16 unless told) at once and the next ones when all are answered.
-- wrk then times each reply from the moment its whole batch was sent.
--
--   wrk -t1 -c64 -d10s --latency -s loadtest/wrk/pipeline.lua http://127.0.0.1:8080/plaintext -- DEPTH

local batch

function init(args)
  batch = wrk.format():rep(tonumber(args[1]) or 16)
end

function request()
  return batch
end
