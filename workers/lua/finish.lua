#!lua flags=allow-oom
-- ARGV: id, attempt, who claimed, status, error as JSON or '', then perhaps: done, failed, total.
-- Only the attempt that holds the job may end it.
local id, t = ARGV[1], now()
local key = record(id)
local status = status_for(id, ARGV[2], ARGV[3])
-- The same finish again: its first answer was lost on the way.
if status and ENDED[status] then return redis.call('HEXISTS', key, 'finisher') end
if status ~= 'running' and status ~= 'cancelling' then return 0 end
redis.call('HSET', key, 'finisher', '1')
if ARGV[6] then redis.call('HSET', key, 'done', ARGV[6], 'failed', ARGV[7], 'total', ARGV[8]) end
end_job(id, status == 'cancelling' and 'cancelled' or ARGV[4], ARGV[5], t)
return 1
