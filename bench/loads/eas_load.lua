-- wrk sends what files hold: records of eight digits (the length) and a request. All of them in turn in great strides
-- (GATEPOST_SHAPE=spread), or each thread again and again its own few (own); every FRESH_EVERY-th from another file.
local function records_of(path)
  local file = assert(io.open(path, "rb"))
  local octets, records, at = file:read("*a"), {}, 1
  file:close()
  while at < #octets do
    local length = tonumber(octets:sub(at, at + 7))
    records[#records + 1] = octets:sub(at + 8, at + 7 + length)
    at = at + 8 + length
  end
  return records
end

local threads = 0

function setup(thread)
  thread:set("place", threads)
  threads = threads + 1
end

local records, fresh, turn, first, count, stride
local sent, every, fresh_turn = 0, tonumber(os.getenv("FRESH_EVERY") or "0"), tonumber(os.getenv("FRESH_FROM") or "0")

function init(args)
  records = records_of(os.getenv("RECORDS"))
  if every > 0 then fresh = records_of(os.getenv("FRESH_RECORDS")) end
  if os.getenv("SHAPE") == "own" then
    count, stride = tonumber(os.getenv("OWN")), 1
    first, turn = place * count % #records, 0
  else
    count, stride, first = #records, 7919, 0
    turn = tonumber(os.getenv("FROM") or "0") % count
  end
end

function request()
  if every > 0 then
    sent = sent + 1
    if sent % every == 0 then
      fresh_turn = fresh_turn + 1
      return fresh[(fresh_turn - 1) % #fresh + 1]
    end
  end
  turn = (turn + stride) % count
  return records[first + turn + 1]
end

function done(summary, latency)
  io.write(string.format(
    "RESULT %d %d %d %d %d %.1f %.1f\n", summary.requests, summary.duration, summary.bytes, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
