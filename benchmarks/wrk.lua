-- One POST again and again, each a little different. The environment says what: BENCH_BODY (a file),
-- BENCH_VARIED (texts in it, one a line, that every request has otherwise), BENCH_TOKEN (optional).
-- The result is one line of JSON, since wrk's own report is for people.

local file = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
local body = file:read("*a")
file:close()

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local token = os.getenv("BENCH_TOKEN")
if token then
  wrk.headers["Authorization"] = "Bearer " .. token
end

-- The body in pieces: texts that stay, and those that vary.
local pieces = { { text = body } }
for varied in os.getenv("BENCH_VARIED"):gmatch("[^\n]+") do
  local cut = {}
  for _, piece in ipairs(pieces) do
    local rest = piece.text
    local from, to = rest:find(varied, 1, true)
    while from and not piece.varies do
      table.insert(cut, { text = rest:sub(1, from - 1) })
      table.insert(cut, { text = varied, varies = true })
      rest = rest:sub(to + 1)
      from, to = rest:find(varied, 1, true)
    end
    table.insert(cut, { text = rest, varies = piece.varies })
  end
  pieces = cut
end

local texts, counter = {}, os.time() * 100000
for at, piece in ipairs(pieces) do
  texts[at] = piece.text
end

function request()
  counter = counter + 1
  local digits = string.format("%036x", counter)
  for at, piece in ipairs(pieces) do
    if piece.varies then
      texts[at] = digits:sub(-#piece.text)
    end
  end
  return wrk.format(nil, nil, nil, table.concat(texts))
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"microseconds":%d,"p50":%d,"p99":%d,"max":%d,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    latency.max, errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
