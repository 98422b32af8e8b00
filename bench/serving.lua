-- Random keys, and what was seen as one line of JSON.
local size, people = tonumber(os.getenv("SIZE")), tonumber(os.getenv("PEOPLE"))
local head = '{"features":' .. os.getenv("FEATURES") .. ',"entities":{"user_id":['
local headers = {["content-type"] = "application/json"}
math.randomseed(42)

function request()
  local keys = {}
  for place = 1, size do keys[place] = math.random(0, people - 1) end
  return wrk.format("POST", "/get-online-features", headers, head .. table.concat(keys, ",") .. "]}}")
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %f, "p50": %f, "p95": %f, "p99": %f, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
    latency:percentile(99) / 1e3, e.connect + e.read + e.write + e.status + e.timeout))
end
