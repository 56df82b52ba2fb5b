-- ARGV: cache, model, owner, seq, edges, losses, lives, time to live (ms), content, then structure digests.
-- What is known already; where nothing is, the entry is pushed in the same step. Returns: pushed, then answers.
local found, hits = find_answers(ARGV[1], { unpack(ARGV, 10) })
local pushed = 0
if hits == 0 then pushed = push_entry(unpack(ARGV, 2, 9)) end
return { pushed, found }
