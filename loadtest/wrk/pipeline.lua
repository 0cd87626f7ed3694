-- Pipelining for wrk: sends DEPTH requests (16 unless told) at once and the next ones when all are answered.
--
--   wrk -t1 -c64 -d10s -s loadtest/wrk/pipeline.lua http://127.0.0.1:8080/plaintext -- DEPTH
--
-- Only the rate and the errors of such a run mean something: wrk takes one latency a batch, and corrects it as
-- if batches followed each other at the rate of single requests.

function init(args)
  local batch = wrk.format():rep(tonumber(args[1]) or 16)
  -- wrk makes its one request by this after init. A global `request` would be called again for each batch.
  wrk.format = function() return batch end
end
