-- The numbers that were added to the blacklist one at a time, shared by all instances.
--
-- KEYS    1 the set of numbers, 2 their version
-- ARGV    1 add, remove, holds or newer; 2 the number, or for newer the version that the caller has
--         3 how many numbers there may be, 4 seconds that an unchanged list is kept
-- Reply   add, remove: 1 done, 0 it was so already, -1 (add) there are too many. holds: 1 or 0.
--         newer: {} when the caller's version is the newest, else {version, numbers}
--
-- Atomic because a script runs alone: a version belongs to exactly the numbers that are read with it.

local op, what = ARGV[1], ARGV[2]

if op == 'holds' then
  return redis.call('SISMEMBER', KEYS[1], what)
end
if op == 'newer' then
  local version = redis.call('GET', KEYS[2]) or '0'
  if version == what then
    return {}
  end
  return {version, redis.call('SMEMBERS', KEYS[1])}
end
if op == 'add' and redis.call('SISMEMBER', KEYS[1], what) == 0
    and redis.call('SCARD', KEYS[1]) >= tonumber(ARGV[3]) then
  return -1
end
local changed = redis.call(op == 'add' and 'SADD' or 'SREM', KEYS[1], what)
if changed == 1 then
  -- From the clock, so that a list begun anew never comes by a version that somebody has read before.
  if redis.call('EXISTS', KEYS[2]) == 0 then
    local clock = redis.call('TIME')
    redis.call('SET', KEYS[2], string.format('%d%06d', clock[1], clock[2]))
  end
  redis.call('INCR', KEYS[2])
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('EXPIRE', KEYS[2], ARGV[4])
return changed
