-- All counters of a call at once: every one has a place and each is taken, or none is.
-- KEYS: the generation, then one key per counter. ARGV: now in microseconds ("0": the server's own clock),
-- whether to take ("1") or only to look, then kind, limit, window and grain of each counter.
-- Answers {generation, passed, left, wait, left, wait, ...}. What the kinds mean is told in plans.py.
local call = redis.call
local now = tonumber(ARGV[1])
if now == 0 then
  local time = call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local count = #KEYS - 1
local answer = {tonumber(call('GET', KEYS[1])) or 0, 1}
local state = {}

local function regained(at, limit, grain, spare)
  local whole = math.floor(spare / grain)
  answer[at] = whole
  answer[at + 1] = whole == limit and 0 or grain - spare % grain
end

for n = 1, count do
  local key, at, arg = KEYS[n + 1], 2 * n + 1, 4 * n - 1
  local kind, limit, window, grain = ARGV[arg], tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2]), tonumber(ARGV[arg + 3])
  local left, wait = limit, 0
  if kind == 'L' then
    local oldest = tonumber(call('LINDEX', key, 0))
    if oldest then
      if oldest <= now then
        local gone, more = 0, true
        while more do
          local chunk = call('LRANGE', key, gone, gone + 99)
          more = #chunk == 100
          for i = 1, #chunk do
            if tonumber(chunk[i]) > now then more = false break end
            gone = gone + 1
          end
        end
        call('LTRIM', key, gone, -1)
        oldest = tonumber(call('LINDEX', key, 0))
      end
      local taken = oldest and call('LLEN', key) or 0
      state[n] = {oldest, taken}
      if taken < limit then
        left = limit - taken
        wait = oldest and oldest - now or 0
      else
        left = 0
        wait = tonumber(call('LINDEX', key, taken - limit)) - now
      end
    else
      state[n] = {nil, 0}
    end
  elseif kind == 'B' then
    local head = call('LRANGE', key, 0, 1)
    local total, oldest = tonumber(head[1]) or 0, tonumber(head[2])
    if oldest and oldest <= now then
      local all, i = call('LRANGE', key, 1, -1), 1
      while all[i] and tonumber(all[i]) <= now do
        total = total - tonumber(all[i + 1])
        i = i + 2
      end
      oldest = tonumber(all[i])
      if oldest then
        call('LTRIM', key, i, -1)
        call('LPUSH', key, total)
      else
        call('DEL', key)
        total = 0
      end
    end
    state[n] = {oldest, total}
    if total < limit then
      left = limit - total
      wait = oldest and oldest - now or 0
    else
      local all, i, rest, leave = call('LRANGE', key, 1, -1), 1, total, now
      while rest >= limit and all[i] do
        leave = tonumber(all[i])
        rest = rest - tonumber(all[i + 1])
        i = i + 2
      end
      left = 0
      wait = leave - now
    end
  else
    local full = math.max(tonumber(call('GET', key)) or 0, now)
    local spare = window - (full - now)
    state[n] = {full, 0}
    if spare < grain then
      left, wait = 0, grain - spare
    else
      regained(at, limit, grain, spare)
      left, wait = answer[at], answer[at + 1]
    end
  end
  answer[at], answer[at + 1] = left, wait
  if left == 0 then answer[2] = 0 end
end

if answer[2] == 0 or ARGV[2] ~= '1' then return answer end

for n = 1, count do
  local key, at, arg = KEYS[n + 1], 2 * n + 1, 4 * n - 1
  local kind, limit, window, grain = ARGV[arg], tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2]), tonumber(ARGV[arg + 3])
  local oldest, taken = state[n][1], state[n][2]
  if kind == 'L' then
    call('RPUSH', key, now + window)
    call('PEXPIRE', key, math.ceil(window / 1000) + 1)
    answer[at], answer[at + 1] = limit - taken - 1, (oldest or now + window) - now
  elseif kind == 'B' then
    local leave = (math.floor(now / grain) + 1) * grain + window
    if oldest then
      local last = call('LRANGE', key, -2, -1)
      call('LSET', key, 0, taken + 1)
      if tonumber(last[1]) >= leave then
        call('LSET', key, -1, tonumber(last[2]) + 1)
      else
        call('RPUSH', key, leave, 1)
        call('PEXPIRE', key, math.ceil((leave - now) / 1000) + 1)
      end
    else
      call('RPUSH', key, 1, leave, 1)
      call('PEXPIRE', key, math.ceil((leave - now) / 1000) + 1)
    end
    answer[at], answer[at + 1] = limit - taken - 1, (oldest or leave) - now
  else
    local full = oldest + grain
    call('SET', key, string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000) + 1)
    regained(at, limit, grain, window - (full - now))
  end
end
return answer
