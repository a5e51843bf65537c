-- wrk: one Sync of each of many phones in turn; 200 octets of body, a head of about 500.
local count = tonumber(os.getenv("PHONES") or "100000")
local body = "\3\1\106\0\69\92\79\75\3" .. string.rep("5", 182) .. "\0\1\1\1\1\1\1\1\1"
local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function base64(text)
  return ((text:gsub(".", function(letter)
    local bits, octet = "", letter:byte()
    for at = 8, 1, -1 do bits = bits .. (octet % 2 ^ at - octet % 2 ^ (at - 1) > 0 and "1" or "0") end
    return bits
  end) .. "0000"):gsub("%d%d%d?%d?%d?%d?", function(bits)
    if #bits < 6 then return "" end
    local value = 0
    for at = 1, 6 do value = value + (bits:sub(at, at) == "1" and 2 ^ (6 - at) or 0) end
    return alphabet:sub(value + 1, value + 1)
  end) .. ({ "", "==", "=" })[#text % 3 + 1])
end

local requests, turn = {}, 0

function init(args)
  for number = 0, count - 1 do
    local login = string.format("user%06d@corp.example", number)
    requests[number] = table.concat({
      "POST /Microsoft-Server-ActiveSync?Cmd=Sync&User=", login, "&DeviceId=",
      string.format("PHONE%027d", number), "&DeviceType=Android HTTP/1.1\r\n",
      "Host: mail.corp.example\r\n",
      "Authorization: Basic ", base64(login .. ":secret"), "\r\n",
      "MS-ASProtocolVersion: 14.1\r\nX-MS-PolicyKey: 3942919513\r\nConnection: keep-alive\r\n",
      "User-Agent: Android-Mail/2026.10.04.684921846.Release\r\nAccept: */*\r\nAccept-Language: en-us\r\n",
      "Content-Type: application/vnd.ms-sync.wbxml\r\nContent-Length: ", tostring(#body), "\r\n\r\n", body,
    })
  end
  turn = math.random(0, count - 1)
end

function request()
  turn = (turn + 7919) % count
  return requests[turn]
end

function done(summary, latency)
  io.write(string.format(
    "RESULT %d %d %d %d %.1f %.1f\n", summary.requests, summary.duration,
    summary.errors.status, summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
