-- All counters of a call at once: every one has a place and each is taken, or none is.
--
-- KEYS: the generation; then for each home its hash, and a list for each of its windows.
-- ARGV: now in microseconds ("0": the server's own clock), whether to take ("1") or only to look; then for each
-- home the number of its counters, their fields, and kind, limit, window and grain of each.
-- Answers {generation, passed, left, wait, left, wait, ...}. What the kinds mean is told in plans.py.
--
-- Commands cost more than anything else here, so what nearly every call needs is in one hash per home, read and
-- written at once: for a burst when it is full again; for a window how many count, when the oldest and the newest
-- of them leave, how many the newest are, and until when its list is kept. The list has those before the newest,
-- oldest first (of buckets: leave and number), and is touched when there is another newest or the oldest leave.
local call, pack, unpacked = redis.call, struct.pack, struct.unpack
local now, take = tonumber(ARGV[1]), ARGV[2] == '1'
if now == 0 then
  local time = call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local answer, homes = {tonumber(call('GET', KEYS[1])) or 0, 1}, {}

local function regained(at, c, spare)
  local whole = math.floor(spare / c.grain)
  answer[at] = whole
  answer[at + 1] = whole == c.limit and 0 or c.grain - spare % c.grain
end

-- The oldest have left: how many of the list's elements that are (-1: all), and what is left.
local function leave(c)
  local step, gone, total, oldest = 8, 0, c.total, nil
  while c.newest > now and not oldest do
    local chunk = call('LRANGE', c.list, gone, gone + step - 1)
    for i = 1, #chunk, c.each do
      local at = tonumber(chunk[i])
      if at > now then oldest = at break end
      total = total - (c.each == 1 and 1 or tonumber(chunk[i + 1]))
      gone = gone + c.each
    end
    if #chunk < step then break end
    step = 200
  end
  if oldest then
    c.gone, c.total, c.oldest = gone, total, oldest
  else
    c.gone, c.total, c.oldest = -1, c.newest > now and c.count or 0, c.newest
  end
end

-- In how long fewer than the limit count, after a limit was lowered to less than what counts already.
local function lowered(c)
  local rest, chunk = c.total, c.gone < 0 and {} or call('LRANGE', c.list, c.gone, -1)
  for i = 1, #chunk, c.each do
    rest = rest - (c.each == 1 and 1 or tonumber(chunk[i + 1]))
    if rest < c.limit then return tonumber(chunk[i]) - now end
  end
  return c.newest - now
end

local k, a, at = 1, 3, 3
while a <= #ARGV do
  local count = tonumber(ARGV[a])
  k = k + 1
  local home = {key = KEYS[k], stored = call('HMGET', KEYS[k], '', unpack(ARGV, a + 1, a + count))}
  homes[#homes + 1] = home
  local field = a
  a = a + count + 1
  for n = 1, count do
    local kind, value = ARGV[a], home.stored[n + 1]
    local c = {field = ARGV[field + n], limit = tonumber(ARGV[a + 1]), window = tonumber(ARGV[a + 2]),
      grain = tonumber(ARGV[a + 3]), at = at, gone = 0}
    if kind == 'G' then
      c.full = math.max(value and unpacked('d', value) or 0, now)
      local spare = c.window - (c.full - now)
      if spare < c.grain then
        answer[at], answer[at + 1] = 0, c.grain - spare
      else
        regained(at, c, spare)
      end
    else
      k = k + 1
      c.list, c.each = KEYS[k], kind == 'L' and 1 or 2
      if value then
        c.total, c.oldest, c.newest, c.count, c.kept = unpacked('ddddd', value)
        if c.total > 0 and c.oldest <= now then leave(c) end
      else
        -- A list without its hash belongs to nothing.
        c.total, c.count, c.kept, c.gone = 0, 0, 0, -1
      end
      if c.total < c.limit then
        answer[at], answer[at + 1] = c.limit - c.total, c.total > 0 and c.oldest - now or 0
      else
        answer[at], answer[at + 1] = 0, c.total == c.limit and c.oldest - now or lowered(c)
      end
    end
    if answer[at] == 0 then answer[2] = 0 end
    home[n] = c
    a, at = a + 4, at + 2
  end
end

take = take and answer[2] == 1
for _, home in ipairs(homes) do
  local writes, last, kept = {}, 0, home.stored[1] and unpacked('d', home.stored[1]) or 0
  for _, c in ipairs(home) do
    if c.full then
      if take then
        c.full = c.full + c.grain
        regained(c.at, c, c.window - (c.full - now))
        last = math.max(last, c.full)
        writes[#writes + 1], writes[#writes + 2] = c.field, pack('d', c.full)
      end
    else
      if c.gone > 0 then
        call('LTRIM', c.list, c.gone, -1)
      elseif c.gone < 0 and (take or c.newest) then
        call('DEL', c.list)
      end
      if take then
        local leaves = now + c.window
        if c.each == 2 then leaves = (math.floor(now / c.grain) + 1) * c.grain + c.window end
        if c.total == 0 then
          c.oldest, c.newest, c.count = leaves, leaves, 1
        elseif c.each == 2 and c.newest >= leaves then
          c.count = c.count + 1
        else
          local size
          if c.each == 1 then
            size = call('RPUSH', c.list, c.newest)
          else
            size = call('RPUSH', c.list, c.newest, c.count)
          end
          c.newest, c.count = math.max(c.newest, leaves), 1
          if size == c.each or c.newest > c.kept then
            c.kept = c.newest + c.window / 10
            call('PEXPIRE', c.list, math.ceil((c.kept - now) / 1000) + 1)
          end
        end
        c.total = c.total + 1
        answer[c.at], answer[c.at + 1] = c.limit - c.total, c.oldest - now
        last = math.max(last, c.newest)
      end
      if take or (c.gone ~= 0 and c.newest) then
        writes[#writes + 1], writes[#writes + 2] = c.field, pack('ddddd', c.total, c.oldest, c.newest, c.count, c.kept)
      end
    end
  end
  if last > kept then
    kept = last + (last - now) / 10
    writes[#writes + 1], writes[#writes + 2] = '', pack('d', kept)
    call('HSET', home.key, unpack(writes))
    call('PEXPIRE', home.key, math.ceil((kept - now) / 1000) + 1)
  elseif #writes > 0 then
    call('HSET', home.key, unpack(writes))
  end
end
return answer
