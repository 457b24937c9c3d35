-- Posts one body again and again, and counts the answers that are not that body. Prints what it saw as one line of JSON.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.body = arguments[1]
  wrong = 0
  request_text = wrk.format()
end

function request()
  return request_text
end

function response(status, headers, body)
  if status ~= 200 or body ~= wrk.body then
    wrong = wrong + 1
    first = first or status .. " " .. body
  end
end

function done(summary, latency)
  local wrong, first = 0, nil
  for _, thread in ipairs(threads) do
    wrong = wrong + thread:get("wrong")
    first = first or thread:get("first")
  end
  local errors = summary.errors
  io.write(string.format(
    '\n{"calls":%d,"elapsed_us":%d,"p50_us":%d,"p90_us":%d,"p99_us":%d,"wrong":%d,"broken":%d}\n%s',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(90), latency:percentile(99),
    wrong, errors.connect + errors.read + errors.write + errors.timeout, first or ""
  ))
end
