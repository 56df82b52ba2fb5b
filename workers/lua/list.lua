#!lua flags=no-writes
-- ARGV: index, from (exclusive or '+'), to ('-' or inclusive), most looked at, wanted, then filters as JSON.
-- Returns: id to continue from or '', then id, fields, id, fields, …
local filters = cjson.decode(ARGV[6])
local ids = redis.call('ZREVRANGEBYLEX', ARGV[1], ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])
local found, wanted = { '' }, tonumber(ARGV[5])

local function fits(job)
  local kind, status, label, models, parent =
    unpack(redis.call('HMGET', record(job), 'kind', 'status', 'label', 'models', 'parent'))
  if not kind then return false end
  if filters.kind and not string.find(' ' .. filters.kind .. ' ', ' ' .. kind .. ' ', 1, true) then return false end
  if filters.parent and filters.parent ~= (parent or '') then return false end
  if filters.status and filters.status ~= status then return false end
  if filters.label and filters.label ~= label then return false end
  if filters.model and not string.find(models or '', '"' .. filters.model .. '"', 1, true)
    and not string.find(models or '', '"' .. filters.model .. '@', 1, true) then return false end
  return true
end

for place, id in ipairs(ids) do
  if fits(id) then
    found[#found + 1] = id
    found[#found + 1] = redis.call('HGETALL', record(id))
    wanted = wanted - 1
  end
  if wanted == 0 or place == tonumber(ARGV[4]) then
    found[1] = id
    break
  end
end
return found
