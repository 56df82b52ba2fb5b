#!lua flags=allow-oom
-- ARGV: id, attempt, status, error as JSON or '', then perhaps: done, failed, total.
-- Only the attempt that holds the job may end it.
local id, t = ARGV[1], now()
local key = record(id)
local status, attempt, finisher = unpack(redis.call('HMGET', key, 'status', 'attempt', 'finisher'))
if attempt ~= ARGV[2] then return 0 end
-- The same finish again: its first answer was lost on the way.
if ENDED[status] then return finisher == ARGV[2] and 1 or 0 end
if status ~= 'running' and status ~= 'cancelling' then return 0 end
redis.call('HSET', key, 'finisher', ARGV[2])
if ARGV[5] then redis.call('HSET', key, 'done', ARGV[5], 'failed', ARGV[6], 'total', ARGV[7]) end
end_job(id, status == 'cancelling' and 'cancelled' or ARGV[3], ARGV[4], t)
return 1
