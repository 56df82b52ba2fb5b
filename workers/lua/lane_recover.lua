#!lua flags=allow-oom
-- ARGV: how long a worker may be silent (ms), how long replies wait (ms). Returns entries put back, entries given up.
local t, back, lost = now(), 0, 0
for _, worker in ipairs(redis.call('SMEMBERS', 'mp:holders')) do
  local seen = redis.call('ZSCORE', 'mp:alive:infer', worker)
  if not seen or tonumber(seen) < t - tonumber(ARGV[1]) then
    for _, held in ipairs(redis.call('SMEMBERS', 'mp:held:' .. worker)) do
      local model, owner, seq, edges, losses, lives, since =
        string.match(held, '^([^|]+)|([^|]+)|(%d+)|(%d+)|(%d+)|(%d+)|?(%d*)$')
      losses = tonumber(losses) + 1
      if losses >= tonumber(lives) then
        lost = lost + 1
        redis.call('DEL', 'mp:entry:' .. owner .. '|' .. seq)
        redis.call('RPUSH', 'mp:reply:' .. owner, seq .. '|')
        redis.call('PEXPIRE', 'mp:reply:' .. owner, ARGV[2])
      else
        back = back + 1
        redis.call('LPUSH', 'mp:lane:' .. model, table.concat({ owner, seq, edges, losses, lives, since }, '|'))
        redis.call('SADD', 'mp:lanes', model)
      end
    end
    redis.call('DEL', 'mp:held:' .. worker)
    redis.call('SREM', 'mp:holders', worker)
    redis.call('ZREM', 'mp:alive:infer', worker)
  end
end
for _, model in ipairs(redis.call('SMEMBERS', 'mp:lanes')) do
  if redis.call('LLEN', 'mp:lane:' .. model) == 0 then
    redis.call('SREM', 'mp:lanes', model)
  elseif not redis.call('LPOS', 'mp:lane-tokens', model) then
    -- Its token went down with a worker that had not taken anything yet.
    redis.call('RPUSH', 'mp:lane-tokens', model)
  end
end
return { back, lost }
