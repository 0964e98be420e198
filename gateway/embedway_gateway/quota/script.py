"""What a Redis server does for the limits: scripts, which no other command can come between."""

from __future__ import annotations

__all__ = ["ADMIT", "SETTLE"]

# As `meter.py`, in microseconds by the server's clock, which all gateways share.
# KEYS: meters, then seats.
# ARGV: how many meters; how many seats; the lease; how long it lasts; for each meter its limit and
# the amount; for each of the seats how many there are.
# Returns: which of KEYS blocks, or 0; for how long; for each meter until when.
ADMIT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local minute = 60000000
local meters, seats = tonumber(ARGV[1]), tonumber(ARGV[2])
local blocker, wait = 0, 0
local debts, after = {}, {}
for i = 1, meters do
  local limit, amount = tonumber(ARGV[3 + 2 * i]), tonumber(ARGV[4 + 2 * i])
  debts[i] = math.max(0, tonumber(redis.call('GET', KEYS[i]) or '0') - now)
  after[i] = debts[i] + amount * minute / limit
  local over = after[i] - minute
  if over > 0.5 and over > wait then blocker, wait = i, over end
end
for j = 1, seats do
  local key = KEYS[meters + j]
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  if blocker == 0 and redis.call('ZCARD', key) >= tonumber(ARGV[4 + 2 * meters + j]) then
    blocker = meters + j
  end
end
if blocker == 0 then
  for i = 1, meters do
    debts[i] = after[i]
    redis.call('SET', KEYS[i], string.format('%.0f', now + after[i]),
      'PX', math.ceil(after[i] / 1000) + 1)
  end
  for j = 1, seats do
    local key = KEYS[meters + j]
    redis.call('ZADD', key, now + ARGV[4] * 1000, ARGV[3])
    redis.call('PEXPIRE', key, ARGV[4])
  end
end
local answer = {blocker, math.ceil(wait)}
for i = 1, meters do answer[i + 2] = math.ceil(debts[i]) end
return answer
"""

# KEYS: as above. ARGV: how many meters; the lease; how long it lasts from now, or 0 to end it; for
# each meter its limit and the change.
SETTLE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local meters = tonumber(ARGV[1])
for i = 1, meters do
  local limit, change = tonumber(ARGV[2 + 2 * i]), tonumber(ARGV[3 + 2 * i])
  local debt = math.max(0, tonumber(redis.call('GET', KEYS[i]) or '0') - now)
  debt = debt + change * 60000000 / limit
  if debt > 0 then
    redis.call('SET', KEYS[i], string.format('%.0f', now + debt), 'PX', math.ceil(debt / 1000) + 1)
  else
    redis.call('DEL', KEYS[i])
  end
end
for j = meters + 1, #KEYS do
  if ARGV[3] == '0' then
    redis.call('ZREM', KEYS[j], ARGV[2])
  else
    redis.call('ZADD', KEYS[j], now + ARGV[3] * 1000, ARGV[2])
    redis.call('PEXPIRE', KEYS[j], ARGV[3])
  end
end
return 1
"""
