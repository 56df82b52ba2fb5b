#!lua flags=allow-oom
-- ARGV: lives of a job, most ended jobs kept, error as JSON for a job that cost all its workers, batch size,
-- lease (ms).
-- Returns: {id, kind, …} to be published by Celery, {id, …} whose files may go.
local t, publish, forget = now(), {}, {}
local lives, kept, batch = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4])

-- Nobody has looked for a while: the broker was away, and so the workers could not beat. Give them time to.
local last = tonumber(redis.call('GET', 'mp:reconciled') or ms(t))
redis.call('SET', 'mp:reconciled', ms(t))
if t - last > 3000 then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', 'mp:leases', '-inf', ms(t + tonumber(ARGV[5])))) do
    redis.call('ZADD', 'mp:leases', ms(t + tonumber(ARGV[5])), id)
  end
end

local function send(id)
  local kind = wake(id, t)
  if kind then
    publish[#publish + 1] = id
    publish[#publish + 1] = kind
  end
end

local function seldom(tries)
  while tries % 8 == 0 do tries = tries / 8 end
  return tries == 1
end

-- Running, and the lease is over: its worker is gone.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', 'mp:leases', '-inf', ms(t), 'LIMIT', 0, batch)) do
  local key = record(id)
  local status, attempt = unpack(redis.call('HMGET', key, 'status', 'attempt'))
  redis.call('ZREM', 'mp:leases', id)
  if status == 'cancelling' then
    -- Its worker was slow, or is gone.
    local over = tonumber(redis.call('HGET', key, 'over') or 0)
    if over <= t or redis.call('HINCRBY', key, 'lost', 1) >= lives then
      end_job(id, 'cancelled', '', t)
    else
      cancel_idle(id, t)
    end
  elseif status == 'running' then
    local kind = redis.call('HGET', key, 'kind')
    count('leases_lost:' .. kind)
    if redis.call('HINCRBY', key, 'lost', 1) >= lives then
      count('jobs_poison:' .. kind)
      end_job(id, 'failed', ARGV[3], t)
    else
      redis.call('HSET', key, 'status', 'queued', 'tries', '0')
      redis.call('ZADD', 'mp:waiting:' .. QUEUE_OF[kind], ms(t), id)
      redis.call('HDEL', key, 'worker')
      redis.call('ZADD', due_of(kind), ms(t), id)
      status_event(id, 'queued', attempt)
    end
  end
end

-- Queued, and due: whoever was to be woken has not come. Publish again.
local function again(id, due)
  local key = record(id)
  local status, kind = unpack(redis.call('HMGET', key, 'status', 'kind'))
  if status ~= 'queued' and not (status == 'cancelling' and redis.call('HGET', key, 'closing') == '1') then
    redis.call('ZREM', due, id)
    if kind then redis.call('ZREM', 'mp:waiting:' .. QUEUE_OF[kind], id) end
  else
    local tries = redis.call('HINCRBY', key, 'tries', 1)
    -- While messages wait in the queue this job's is most likely among them: only now and then add one, more and
    -- more seldom, since a training may keep the others waiting for days.
    -- With the queue empty it was lost, or sits with a busy worker while others may be idle.
    local crowded = not way_of(id) and redis.call('LLEN', QUEUE_OF[kind]) > 0
    local wait = crowded and math.min(15000, 2500 * 2 ^ tries) or 5000
    redis.call('ZADD', due, ms(t + wait), id)
    if not crowded or seldom(tries) then send(id) end
  end
end
for _, due in ipairs({ 'mp:due', 'mp:due:bulk' }) do
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', ms(t), 'LIMIT', 0, batch)) do again(id, due) end
end

-- Ended, and its time is over, or too many are kept.
local function drop(id)
  local key = record(id)
  local owner = redis.call('HGET', key, 'owner')
  if owner then redis.call('ZREM', 'mp:jobs:' .. owner, id) end
  redis.call('ZREM', 'mp:jobs', id)
  redis.call('ZREM', 'mp:ended', id)
  redis.call('DEL', key, 'mp:events:' .. id, 'mp:children:' .. id, 'mp:lost:' .. id)
  forget[#forget + 1] = id
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', 'mp:ended', '-inf', ms(t), 'LIMIT', 0, batch)) do drop(id) end
local surplus = redis.call('ZCARD', 'mp:ended') - kept
if surplus > 0 then
  for _, id in ipairs(redis.call('ZRANGE', 'mp:ended', 0, math.min(surplus, 5 * batch) - 1)) do drop(id) end
end
return { publish, forget }
