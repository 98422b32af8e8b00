"""What must happen in one step on the server, in its own language. Each script finds all it touches in one slot."""

from __future__ import annotations

import hashlib

__all__ = ["AMEND", "CLAIM", "DELETE", "DROP", "GIVE_UP", "MARKS", "PUBLISH", "SWAP", "Script"]


class Script:
    """A script, known to servers by its hash.

    Args:
        text: in Lua.
    """

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


SWAP = Script("""
-- KEYS: counter, pointer, rows…  ARGV: pointer expected or '', seconds to live or '', which rows are expected to be
-- there ('1' and '0', or '' for none), their values (if any is), the new values.
-- → how many rows are new; -1 if the generation takes no more; what is there, if that is not what was expected.
local n, mask, at, fresh, pairs = #KEYS - 2, ARGV[3], 3, 0, {}
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
if ARGV[1] ~= '' and redis.call('GET', KEYS[2]) ~= ARGV[1] then return -1 end
if mask == '' then
  if redis.call('EXISTS', unpack(KEYS, 3)) > 0 then return redis.call('MGET', unpack(KEYS, 3)) end
  fresh = n
else
  local have = redis.call('MGET', unpack(KEYS, 3))
  for i = 1, n do
    local there = have[i] ~= false
    if there ~= (string.byte(mask, i) == 49) or (there and have[i] ~= ARGV[3 + i]) then return have end
    if not there then fresh = fresh + 1 end
  end
  at = 3 + n
end
if ARGV[2] == '' then
  for i = 1, n do
    pairs[2 * i - 1] = KEYS[2 + i]
    pairs[2 * i] = ARGV[at + i]
  end
  redis.call('MSET', unpack(pairs))
else
  for i = 1, n do redis.call('SET', KEYS[2 + i], ARGV[at + i], 'EX', ARGV[2]) end
end
if fresh > 0 then redis.call('INCRBY', KEYS[1], fresh) end
return fresh
""")

AMEND = Script("""
-- KEYS: counter, pointer, then of each change its guard and the rows it sets or removes.
-- ARGV: pointer expected or '', seconds to live or '', then of each change: '=' and the first 16 bytes expected of its
-- guard, or '-' if none is expected to be there; for each of its rows '1' to set or '0' to remove; the values to set.
-- → for each change '1' if it was made, '0' if its guard was not as expected; -1 if the generation takes no more.
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
if ARGV[1] ~= '' and redis.call('GET', KEYS[2]) ~= ARGV[1] then return -1 end
local key, at, more, told = 3, 3, 0, {}
while key <= #KEYS do
  local found = '=' .. redis.call('GETRANGE', KEYS[key], 0, 15)
  if found == '=' and redis.call('EXISTS', KEYS[key]) == 0 then found = '-' end
  local fits, rows = found == ARGV[at], ARGV[at + 1]
  at = at + 2
  for i = 1, #rows do
    local row = KEYS[key + i]
    if string.byte(rows, i) == 48 then
      if fits then more = more - redis.call('UNLINK', row) end
    else
      if fits then
        more = more + 1 - redis.call('EXISTS', row)
        if ARGV[2] == '' then redis.call('SET', row, ARGV[at]) else redis.call('SET', row, ARGV[at], 'EX', ARGV[2]) end
      end
      at = at + 1
    end
  end
  key = key + #rows + 1
  told[#told + 1] = fits and '1' or '0'
end
if more ~= 0 then redis.call('INCRBY', KEYS[1], more) end
return table.concat(told)
""")

DELETE = Script("""
-- KEYS: counter, pointer, rows…  ARGV: pointer expected or ''  → how many were there; -1 as above.
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
if ARGV[1] ~= '' and redis.call('GET', KEYS[2]) ~= ARGV[1] then return -1 end
local gone = redis.call('UNLINK', unpack(KEYS, 3))
if gone > 0 then redis.call('DECRBY', KEYS[1], gone) end
return gone
""")

CLAIM = Script("""
-- KEYS: filling  ARGV: generation, owner, lease in seconds, 'new' or 'again'  → 1; 0 if it was given up meanwhile.
if ARGV[4] == 'again' and (redis.call('HGET', KEYS[1], ARGV[1]) or '') == '' then return 0 end
local deadline = redis.call('TIME')[1] + ARGV[3]
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. '|' .. string.format('%d', deadline))
return 1
""")

PUBLISH = Script("""
-- KEYS: pointer, tables, filling  ARGV: generation, table, 'first' to leave a published one as it is, or ''
-- → 1, also when it is asked twice because an answer was lost; 0 if it was given up meanwhile, or another is there.
local old = redis.call('GET', KEYS[1])
if old == ARGV[1] then return 1 end
if (redis.call('HGET', KEYS[3], ARGV[1]) or '') == '' or (old and ARGV[3] == 'first') then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('SADD', KEYS[2], ARGV[2])
redis.call('HDEL', KEYS[3], ARGV[1])
if old then redis.call('HSET', KEYS[3], old, '') end
return 1
""")

GIVE_UP = Script("""
-- KEYS: pointer, filling  ARGV: generation  → 1; 0 if it is published after all.
if redis.call('GET', KEYS[1]) == ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], '')
return 1
""")

DROP = Script("""
-- KEYS: pointer, tables, filling, notes  ARGV: table
local old = redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1], KEYS[4])
redis.call('SREM', KEYS[2], ARGV[1])
if old then redis.call('HSET', KEYS[3], old, '') end
return 1
""")

MARKS = Script("""
-- KEYS: filling  → generations and their marks, and the server's time.
return {redis.call('HGETALL', KEYS[1]), redis.call('TIME')[1]}
""")
