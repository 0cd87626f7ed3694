-- POST /api/v1/transfers for wrk: every request moves 1 minor unit between two of the accounts in ACCOUNTS
-- (a file with an account id a line, made by prepare.sh) with a key of its own. TOKEN is a bearer token.
--
--   wrk -t1 -c64 -d10s --latency -s loadtest/wrk/transfers.lua http://127.0.0.1:8080

local accounts = {}
for line in io.lines(os.getenv("ACCOUNTS")) do
  accounts[#accounts + 1] = line
end
local headers = {
  ["Authorization"] = "Bearer " .. os.getenv("TOKEN"),
  ["Content-Type"] = "application/json",
}
local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init()
  math.randomseed(os.time() * 31 + number)
  run = string.format("%d-%d-%d", os.time(), number, math.random(1e9))
  sent = 0
end

function request()
  sent = sent + 1
  local debit = math.random(#accounts)
  local credit = debit % #accounts + 1
  headers["Idempotency-Key"] = run .. "-" .. sent
  local body = string.format(
    '{"debit_account":"%s","credit_account":"%s","amount":1,"currency":"EUR"}',
    accounts[debit], accounts[credit])
  return wrk.format("POST", "/api/v1/transfers", headers, body)
end
