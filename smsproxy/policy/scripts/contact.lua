-- Judges and counts a batch of contacts, or gives counts back: any number of recipients in one call.
--
-- KEYS    for each request the key of its text if a rule about texts applies, then the one of its recipient's
--         week if caps apply
-- ARGV    1    reserve, check (as reserve, counting nothing, each request for itself) or release
--         2-5  now (Unix s), week, day of the week (0 = Monday), seconds until nobody asks for this week
--         6    how many rules follow; each "daily weekly window kept checks counts ids": caps (-1 is none), the
--              window and the longest one of the rule's family (s), whether it checks and counts (0 or 1), how
--              many message ids a week keeps
--         then all requests in one: each a byte for the rule's place (from 0), a byte for its keys (1 text +
--         2 week), the message id (16 bytes)
-- Reply   {letters, forgotten}: a letter a request. reserve and check: o ok, u duplicate, d daily_cp, w weekly_cp;
--         release: y gave something back, n held nothing. forgotten: ids dropped to keep values small.
--
-- Atomic because a script runs alone: of equal requests in any number of calls at once the first one is counted,
-- and the others find it. It is evaluator.py and counters.py once more, over the same packed values: what is
-- said there of rules and formats holds here. Calendar and clock are the caller's; every key has a TTL.

local call, byte, sub = redis.call, string.byte, string.sub
local op = ARGV[1]
local now, week, day, week_ttl = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local HEAD, ENTRY, CLAIM, MAX_CLAIMS, REQUEST = 32, 17, 24, 8, 18
local NAMELESS = string.rep('\0', 16)

local function seconds(ttl)
  return string.format('%d', math.max(1, math.ceil(ttl)))
end

local function put(key, value, ttl)
  if value == '' then
    call('DEL', key)
  else
    call('SET', key, value, 'EX', seconds(ttl))
  end
end

-- Claims: a list of {id, at}.

local function read_claims(key, kept)
  local value = call('GET', key)
  local claims = {}
  if value and #value % CLAIM == 0 then
    for at = 1, #value, CLAIM do
      local id, when = struct.unpack('>c16d', value, at)
      if math.abs(now - when) < kept then
        claims[#claims + 1] = {id, when}
      end
    end
  end
  return claims
end

local function pack_claims(claims)
  local parts = {}
  for i, claim in ipairs(claims) do
    parts[i] = struct.pack('>c16d', claim[1], claim[2])
  end
  return table.concat(parts)
end

-- Whether any message holds the text within the window, and whether this one does.
local function held(claims, id, window)
  local any, own = false, false
  for _, claim in ipairs(claims) do
    if math.abs(now - claim[2]) < window then
      any = true
      own = own or claim[1] == id
    end
  end
  return any, own
end

local function drop_claim(claims, id)
  local kept, newest = {}, nil
  for _, claim in ipairs(claims) do
    if claim[1] ~= id then
      kept[#kept + 1] = claim
      newest = math.max(newest or claim[2], claim[2])
    end
  end
  return kept, newest or now
end

local function add_claim(claims, id)
  claims = drop_claim(claims, id)
  claims[#claims + 1] = {id, now}
  if #claims <= MAX_CLAIMS then
    return claims, 0
  end
  local forgotten = claims[1][1] == NAMELESS and 1 or 2
  claims[2][1] = NAMELESS
  table.remove(claims, 1)
  return claims, forgotten
end

-- Tally: {counts of the seven days, entries as they lie in the value}.

local function read_tally(key)
  local value = call('GET', key)
  if value and #value >= HEAD and (#value - HEAD) % ENTRY == 0 then
    local head = {struct.unpack('>I4I4I4I4I4I4I4I4', value)}
    if head[1] == week then
      return {{head[2], head[3], head[4], head[5], head[6], head[7], head[8]}, sub(value, HEAD + 1)}
    end
  end
  return {{0, 0, 0, 0, 0, 0, 0}, ''}
end

local function pack_tally(tally)
  local c = tally[1]
  if c[1] + c[2] + c[3] + c[4] + c[5] + c[6] + c[7] == 0 then
    return ''
  end
  return struct.pack('>I4I4I4I4I4I4I4I4', week, c[1], c[2], c[3], c[4], c[5], c[6], c[7]) .. tally[2]
end

-- Where the entry of this message begins, nil for none.
local function entry_of(tally, id)
  local at = string.find(tally[2], id, 1, true)
  while at and (at - 2) % ENTRY ~= 0 do
    at = string.find(tally[2], id, at + 1, true)
  end
  return at and at - 1
end

local function add_contact(tally, id, ids)
  tally[1][day + 1] = tally[1][day + 1] + 1
  tally[2] = tally[2] .. string.char(day) .. id
  local dropped = math.max(0, #tally[2] / ENTRY - ids)
  tally[2] = sub(tally[2], dropped * ENTRY + 1)
  return dropped
end

-- Nine of ten: nobody has written to this recipient this week. One command instead of two finds that out and
-- counts; it is what read_tally, add_contact and pack_tally make of no value at all.
local first_tally = {{0, 0, 0, 0, 0, 0, 0}, ''}
add_contact(first_tally, '', 1)
local FIRST, WEEK_TTL = pack_tally(first_tally), seconds(week_ttl)

local function is_first(rule, id, key)
  return rule.takes_first and call('SET', key, FIRST .. id, 'NX', 'EX', WEEK_TTL)
end

local function drop_contact(tally, at)
  local counted_on = byte(tally[2], at) + 1
  tally[1][counted_on] = math.max(0, (tally[1][counted_on] or 0) - 1)
  tally[2] = sub(tally[2], 1, at - 1) .. sub(tally[2], at + ENTRY)
end

local function refusal(rule, id, claims, tally, counted)
  if claims then
    local any, own = held(claims, id, rule.window)
    if any and not own then
      return 'u'
    end
  end
  if tally and not counted then
    local c = tally[1]
    if rule.daily >= 0 and c[day + 1] >= rule.daily then
      return 'd'
    end
    if rule.weekly >= 0 and c[1] + c[2] + c[3] + c[4] + c[5] + c[6] + c[7] >= rule.weekly then
      return 'w'
    end
  end
end

local forgotten = 0

local function reserve(rule, id, text_key, week_key)
  if week_key and not text_key and is_first(rule, id, week_key) then
    return 'o'
  end
  local claims = text_key and read_claims(text_key, rule.kept)
  local tally = week_key and read_tally(week_key)
  local counted = tally and entry_of(tally, id)
  local no = rule.checks and refusal(rule, id, claims, tally, counted)
  if no or op == 'check' or not rule.counts then
    return no or 'o'
  end
  if claims then
    local _, own = held(claims, id, rule.window)
    if not own then
      local dropped
      claims, dropped = add_claim(claims, id)
      forgotten = forgotten + dropped
      put(text_key, pack_claims(claims), rule.kept)
    end
  end
  if tally and not counted then
    forgotten = forgotten + add_contact(tally, id, rule.ids)
    put(week_key, pack_tally(tally), week_ttl)
  end
  return 'o'
end

local function release(rule, id, text_key, week_key)
  local given_back = 'n'
  if text_key then
    local claims = read_claims(text_key, rule.kept)
    local kept, newest = drop_claim(claims, id)
    if #kept < #claims then
      given_back = 'y'
      put(text_key, pack_claims(kept), newest + rule.kept - now)
    end
  end
  if week_key then
    local tally = read_tally(week_key)
    local at = entry_of(tally, id)
    if at then
      given_back = 'y'
      drop_contact(tally, at)
      put(week_key, pack_tally(tally), week_ttl)
    end
  end
  return given_back
end

local rules = {}
local first = 7 + tonumber(ARGV[6])
for place = 7, first - 1 do
  local n = {}
  for word in string.gmatch(ARGV[place], '%S+') do
    n[#n + 1] = tonumber(word)
  end
  local rule = {
    daily = n[1], weekly = n[2], window = n[3], kept = n[4], checks = n[5] == 1, counts = n[6] == 1, ids = n[7],
  }
  rule.takes_first = op == 'reserve' and rule.counts
    and not (rule.checks and (rule.daily == 0 or rule.weekly == 0))
  rules[place - 7] = rule
end

local judge = op == 'release' and release or reserve
local letters = {}
local next_key = 1
local requests = ARGV[first]
for at = 1, #requests, REQUEST do
  local rule, with = byte(requests, at, at + 1)
  local text_key, week_key
  if with % 2 == 1 then
    text_key = KEYS[next_key]
    next_key = next_key + 1
  end
  if with >= 2 then
    week_key = KEYS[next_key]
    next_key = next_key + 1
  end
  letters[#letters + 1] = judge(rules[rule], sub(requests, at + 2, at + 17), text_key, week_key)
end
return {table.concat(letters), forgotten}
