-- Shared by every script on jobs. Time is the broker's, in milliseconds; no worker's clock counts.
local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

local function ms(number)
  return string.format('%.0f', number)
end

local function record(id)
  return 'mp:job:' .. id
end

local ENDED = { succeeded = true, failed = true, cancelled = true }

local function event(id, kind, data)
  redis.call('XADD', 'mp:events:' .. id, 'MAXLEN', '~', '2000', '*', 'event', kind, 'data', data)
end

-- A small prediction is over before anybody could watch it, and a stream takes 4 kB: it has a `done` event only.
-- A chunk of a screening has none at all: its parent tells.
local function status_event(id, status, attempt)
  local direct, kind = unpack(redis.call('HMGET', record(id), 'direct', 'kind'))
  if direct == '1' or kind == 'chunk' then return end
  event(id, 'status', cjson.encode({ status = status, attempt = tonumber(attempt) }))
end

-- The set from which a thread takes the job; nil when it goes by a Celery message. Closing is always short.
local function way_of(id)
  local direct, kind, closing = unpack(redis.call('HMGET', record(id), 'direct', 'kind', 'closing'))
  if direct == '1' then return 'mp:wake:' .. QUEUE_OF[kind] end
  local way = WAY_OF[kind] or (closing == '1' and QUEUE_OF[kind] == 'train' and SHORT)
  return way and 'mp:wake:' .. way or nil
end

-- Where queued jobs are looked after. Chunks are no jobs that anybody sent: they count against no bound of those.
local function due_of(kind)
  return kind == 'chunk' and 'mp:due:bulk' or 'mp:due'
end

-- Screenings take turns: a chunk's turn is one after that of the chunk before it, but never long past. So whoever
-- comes later waits for no more than one chunk of each of the others.
local function turn_of(id, way)
  local parent, turn = unpack(redis.call('HMGET', record(id), 'parent', 'turn'))
  if turn then return turn end
  local above, first = record(parent), redis.call('ZRANGE', way, 0, 0, 'WITHSCORES')[2]
  turn = 1 + math.max(tonumber(redis.call('HGET', above, 'turn') or 0), tonumber(first or 0),
    tonumber(redis.call('GET', 'mp:turn') or 0))
  redis.call('HSET', above, 'turn', ms(turn))
  redis.call('HSET', record(id), 'turn', ms(turn))
  return ms(turn)
end

-- Puts a queued job where the workers look. A Celery message cannot be sent from here: the caller sends it.
local function wake(id, t)
  local way, kind = way_of(id), redis.call('HGET', record(id), 'kind')
  -- Since when, for the figures: what wakes it may be sent again and again.
  redis.call('ZADD', 'mp:waiting:' .. QUEUE_OF[kind], 'NX', ms(t), id)
  if not way then return kind end
  -- A sorted set: publishing again never doubles an entry, and the oldest comes first.
  redis.call('ZADD', way, 'NX', kind == 'chunk' and turn_of(id, way) or ms(t), id)
  return nil
end

local function unlist(id)
  local way = way_of(id)
  local owner, kind = unpack(redis.call('HMGET', record(id), 'owner', 'kind'))
  redis.call('ZREM', due_of(kind), id)
  redis.call('ZREM', 'mp:leases', id)
  if kind then redis.call('ZREM', 'mp:waiting:' .. QUEUE_OF[kind], id) end
  if way then redis.call('ZREM', way, id) end
  return owner
end

-- What a job needs may not go before it has ended: `mp:using:<data set or model>` holds the unfinished jobs.
local function use(id, command)
  for _, thing in ipairs(cjson.decode(redis.call('HGET', record(id), 'uses') or '[]')) do
    redis.call(command, 'mp:using:' .. thing, id)
  end
end

-- The last child of a parent has ended: the parent is due again, to close. One that is cancelled closes as well,
-- for what has been made so far; it keeps its status.
local function close(id, t)
  local key = record(id)
  redis.call('HSET', key, 'closing', '1', 'tries', '0')
  redis.call('HDEL', key, 'worker')
  redis.call('ZADD', 'mp:due', ms(t), id)
  local status, attempt = unpack(redis.call('HMGET', key, 'status', 'attempt'))
  if status == 'running' then
    redis.call('HSET', key, 'status', 'queued')
    status_event(id, 'queued', attempt)
  end
  wake(id, t)
end

local cancel_job

local function count(name, number)
  redis.call('HINCRBY', 'mp:metrics', name, number or 1)
end

-- One more duration of a histogram: `workers/figures.py` knows its bounds, in seconds.
local function spent(name, bounds, duration_ms)
  count(name .. ':count')
  redis.call('HINCRBYFLOAT', 'mp:metrics', name .. ':sum', ms(duration_ms) / 1000)
  for _, bound in ipairs(bounds) do
    if duration_ms <= 1000 * bound then return count(name .. ':in:' .. bound) end
  end
end

-- A chunk has ended: its screening counts structures. The record goes at once, since there may be a thousand of
-- them: what was made is in the shards, and why a chunk was lost is kept with its screening.
local function end_chunk(id, status, error, t)
  unlist(id)
  local key = record(id)
  local parent, part, done, failed, total, bytes, started, order =
    unpack(redis.call('HMGET', key, 'parent', 'part', 'done', 'failed', 'total', 'bytes', 'started', 'order'))
  redis.call('SREM', 'mp:children:' .. parent, id)
  redis.call('DEL', key)
  count('jobs_ended:chunk:' .. status)
  if started then spent('job_seconds:chunk', JOB_BOUNDS, t - tonumber(started)) end
  local above = record(parent)
  local was = redis.call('HGET', above, 'status')
  if not was or ENDED[was] then return end
  if status == 'succeeded' then
    redis.call('HINCRBY', above, 'done', done)
    redis.call('HINCRBY', above, 'failed', failed)
    redis.call('HINCRBY', above, 'took_bytes', bytes)
    redis.call('HINCRBY', above, 'took_ms', ms(math.max(1, t - tonumber(started or t))))
  elseif status == 'failed' then
    redis.call('HINCRBY', above, 'done', total)
    redis.call('HINCRBY', above, 'failed', total)
    redis.call('HSET', 'mp:lost:' .. parent, part, '{"error":' .. error .. ',"order":' .. order .. '}')
  end
  local ended = redis.call('HINCRBY', above, 'ended', 1)
  local wake_at, all, bad, known = unpack(redis.call('HMGET', above, 'wake_at', 'done', 'failed', 'total'))
  event(parent, 'progress', cjson.encode({
    done = tonumber(all), failed = tonumber(bad), total = tonumber(known) }))
  if wake_at and ended >= tonumber(wake_at) then
    redis.call('HDEL', above, 'wake_at')
    close(parent, t)
  end
end

-- A screening that nobody holds sleeps until so many of its chunks have ended.
local function sleep_until(id, ended, t)
  if tonumber(redis.call('HGET', record(id), 'ended') or 0) >= tonumber(ended) then
    close(id, t)
  else
    redis.call('HSET', record(id), 'wake_at', ended)
  end
end

-- It is cancelled: its chunks go, and with the last of them it closes. Nobody may claim or hold it before.
local function cancel_chunks(id, t)
  unlist(id)
  redis.call('HSET', record(id), 'closing', '0')
  redis.call('HDEL', record(id), 'wake_at', 'worker')
  for _, child in ipairs(redis.call('SMEMBERS', 'mp:children:' .. id)) do cancel_job(child, t) end
  sleep_until(id, redis.call('HGET', record(id), 'cut') or '0', t)
end

-- The one place where a job ends. A parent is counted up here, in the same step as its child's end.
local function end_job(id, status, error, t)
  local key = record(id)
  if redis.call('HGET', key, 'kind') == 'chunk' then return end_chunk(id, status, error, t) end
  unlist(id)
  use(id, 'SREM')
  redis.call('HSET', key, 'status', status, 'finished', ms(t))
  if error ~= '' then redis.call('HSET', key, 'error', error) end
  local ttl, answer, parent, done, failed, total, direct, kind, created =
    unpack(redis.call('HMGET', key, 'ttl', 'answer', 'parent', 'done', 'failed', 'total', 'direct', 'kind', 'created'))
  event(id, 'done', cjson.encode({
    status = status, done = tonumber(done), failed = tonumber(failed), total = tonumber(total) }))
  redis.call('EXPIRE', 'mp:events:' .. id, direct == '1' and 30 or math.min(tonumber(ttl), 3600))
  -- The record itself goes when the index does (see reconcile); this is only the belt to the braces.
  redis.call('EXPIRE', key, tonumber(ttl) + 3600)
  redis.call('ZADD', 'mp:ended', ms(t + tonumber(ttl) * 1000), id)
  count('jobs_ended:' .. kind .. ':' .. status)
  spent('job_seconds:' .. kind, JOB_BOUNDS, t - tonumber(created))
  if answer then
    -- The whole record: whoever waits for it need not come back for it.
    redis.call('RPUSH', 'mp:answers:' .. answer, cjson.encode({ id, redis.call('HGETALL', key) }))
    redis.call('EXPIRE', 'mp:answers:' .. answer, 60)
  end
  redis.call('DEL', 'mp:lost:' .. id)
  -- Children that nobody waits for any more.
  for _, child in ipairs(redis.call('SMEMBERS', 'mp:children:' .. id)) do cancel_job(child, t) end
  local was = parent and redis.call('HGET', record(parent), 'status')
  if not was or ENDED[was] then return end
  redis.call('HINCRBY', record(parent), 'done', 1)
  if status ~= 'succeeded' then redis.call('HINCRBY', record(parent), 'failed', 1) end
  local children, ended = unpack(redis.call('HMGET', record(parent), 'children', 'done'))
  event(parent, 'progress', cjson.encode({ done = tonumber(ended), total = tonumber(children or 0) }))
  if children and tonumber(ended) == tonumber(children) then close(parent, t) end
end

-- A job that is cancelled keeps its lease while its worker beats, but not beyond its grace time.
local function last_lease(id, t)
  local lease, over = unpack(redis.call('HMGET', record(id), 'lease', 'over'))
  redis.call('ZADD', 'mp:leases', ms(math.min(t + tonumber(lease or 10000), tonumber(over))), id)
end

-- A job that nobody works at is cancelled. It ends, unless it has something to keep: then it closes first.
local function cancel_idle(id, t)
  local status, attempt, kept, children, cut =
    unpack(redis.call('HMGET', record(id), 'status', 'attempt', 'kept', 'children', 'cut'))
  if not kept and not children and not cut then
    end_job(id, 'cancelled', '', t)
    return 'cancelled'
  end
  redis.call('HSET', record(id), 'status', 'cancelling')
  if status ~= 'cancelling' then status_event(id, 'cancelling', attempt) end
  redis.call('ZREM', 'mp:leases', id)
  if cut then cancel_chunks(id, t) else close(id, t) end
  return 'cancelling'
end

cancel_job = function(id, t)
  local key = record(id)
  local status, attempt, children, grace, cut =
    unpack(redis.call('HMGET', key, 'status', 'attempt', 'children', 'grace', 'cut'))
  if not status then return nil end
  if ENDED[status] or status == 'cancelling' then return status end
  if status == 'queued' then
    return cancel_idle(id, t)
  end
  redis.call('HSET', key, 'status', 'cancelling')
  status_event(id, 'cancelling', attempt)
  local held = redis.call('ZSCORE', 'mp:leases', id)
  if cut and not held then
    cancel_chunks(id, t)
    return redis.call('HGET', key, 'status')
  elseif children and not held then
    for _, child in ipairs(redis.call('SMEMBERS', 'mp:children:' .. id)) do cancel_job(child, t) end
    return redis.call('HGET', key, 'status')
  end
  redis.call('HSET', key, 'over', ms(t + tonumber(grace or 10000)))
  last_lease(id, t)
  return 'cancelling'
end

-- The job's status if this claim is its last one, else nil. The attempt alone would not do: a broker that lost
-- its last second hands the same number out twice.
local function status_for(id, attempt, worker)
  local status, last, claimed = unpack(redis.call('HMGET', record(id), 'status', 'attempt', 'worker'))
  if last == attempt and claimed == worker then return status end
  return nil
end

-- Answers in the older generation that are asked for move to the newer one. Hits and misses are counted here, so
-- that they are told as soon as the answer is.
local function find_answers(name, asked)
  local cache = 'mp:cache:' .. name
  local found = redis.call('HMGET', cache .. ':new', unpack(asked))
  local hits = 0
  for place, digest in ipairs(asked) do
    if not found[place] then
      local old = redis.call('HGET', cache .. ':old', digest)
      if old then
        found[place] = old
        redis.call('HSET', cache .. ':new', digest, old)
      end
    end
    if found[place] then hits = hits + 1 end
  end
  if hits > 0 then count('cache_hits:answers', hits) end
  if hits < #asked then count('cache_misses:answers', #asked - hits) end
  return found, hits
end

-- Whether an entry is of a screening, which is in no hurry: its owner's name says so.
local function is_bulk(item)
  return item and string.sub(item, 1, 5) == 'bulk.'
end

-- Before all of the bulk, and behind what others wait for.
local function overtake(lane, item)
  for _, waiting in ipairs(redis.call('LRANGE', lane, 0, -1)) do
    if is_bulk(waiting) then
      redis.call('LINSERT', lane, 'BEFORE', waiting, item)
      return
    end
  end
end

-- Pushing an entry twice changes nothing.
local function push_entry(model, owner, seq, edges, losses, lives, ttl, content)
  local ref = owner .. '|' .. seq
  if not redis.call('SET', 'mp:entry:' .. ref, content, 'NX', 'PX', ttl) then return 0 end
  local item = table.concat({ ref, edges, losses, lives, ms(now()) }, '|')
  redis.call('SADD', 'mp:lanes', model)
  if not is_bulk(item) and is_bulk(redis.call('LINDEX', 'mp:lane:' .. model, -1)) then
    overtake('mp:lane:' .. model, item)
    return 1
  end
  -- One token stands for a lane with entries, however many: a worker that comes takes many at once.
  if redis.call('RPUSH', 'mp:lane:' .. model, item) == 1 then redis.call('RPUSH', 'mp:lane-tokens', model) end
  return 1
end
