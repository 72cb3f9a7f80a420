-- Takes tokens out of rate limits that many instances share: any number of limits in one call.
--
-- KEYS    one for each limit
-- ARGV    three for each key: tokens a second (at least 1), burst, tokens wanted
-- Reply   two integers for each key: tokens granted, from 0 to those wanted; microseconds until one more
--         can be had, 0 when all that were wanted are granted
--
-- Atomic because a script runs alone: between the reading of a limit and its writing no other instance can
-- take the same token. One clock for all, the server's; a step of it back loses the refill since the last
-- call, a step forward refills at most one burst.
--
-- GCRA, told by its debt: the tokens that a bucket lacks, in millionths, so that a second pays back 10^6
-- times the rate and a microsecond exactly the rate. Every number is an integer below 2^53, which is as far
-- as Lua's numbers are exact: debts stay below 10^13, times below 10^16. A key holds "debt time" and lapses
-- a second after its debt is paid: a missing key is a full bucket.

local TOKEN = 1000000

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

-- The debt now, and whether the clock went back: then the key must be written, or its refill would wait for
-- the clock to come by again.
local function debt_now(key, rate)
  local state = redis.call('GET', key)
  if not state then
    return 0, false
  end
  local debt, at = string.match(state, '^(%d+) (%d+)$')
  debt, at = tonumber(debt), tonumber(at)
  local elapsed = now - at
  if elapsed < 0 then
    return debt, true
  end
  if elapsed >= debt / rate then
    return 0, false
  end
  return debt - elapsed * rate, false
end

local reply = {}
for i, key in ipairs(KEYS) do
  local rate, burst, wanted = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local debt, clock_went_back = debt_now(key, rate)
  local left = burst * TOKEN - debt
  local granted = math.max(0, math.min(wanted, math.floor(left / TOKEN)))
  local wait = 0
  if granted > 0 or clock_went_back then
    debt = debt + granted * TOKEN
    local lapse_ms = math.ceil(debt / rate / 1000) + 1000
    redis.call('SET', key, string.format('%.0f %.0f', debt, now), 'PX', string.format('%.0f', lapse_ms))
  end
  if granted < wanted then
    wait = math.ceil((debt + TOKEN - burst * TOKEN) / rate)
  end
  reply[2 * i - 1] = granted
  reply[2 * i] = wait
end
return reply
