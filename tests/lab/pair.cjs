// Connects to a gateway as a new device, with the right token, and says whether it was paired.
//
//   node pair.cjs URL TOKEN
//
// The protocol (3 on 2026.1, 4 on 2026.9): `connect.challenge`, then `connect` with an ed25519 key that signs the challenge.
const crypto = require("node:crypto");

const [url, token] = process.argv.slice(2);
const { publicKey, privateKey } = crypto.generateKeyPairSync("ed25519");
const raw = publicKey.export({ type: "spki", format: "der" }).subarray(-32);
const id = crypto.createHash("sha256").update(raw).digest("hex");
const base64 = (bytes) => Buffer.from(bytes).toString("base64url");
const [client, mode, role, scopes, signedAt] = ["cli", "cli", "operator", ["operator.read"], Date.now()];

setTimeout(() => end("no answer", 1), 20_000);
let socket;
ask();

function ask() {
  socket = new WebSocket(url);
  socket.onerror = () => end("no connection", 1);
  socket.onclose = (event) => end(`closed: ${event.code} ${event.reason}`, 1);
  socket.onmessage = ({ data }) => hear(JSON.parse(data));
}

function hear(message) {
  if (message.event === "connect.challenge") {
    const { nonce } = message.payload;
    const signed = ["v2", id, client, mode, role, scopes.join(","), signedAt, token, nonce].join("|");
    const signature = base64(crypto.sign(null, Buffer.from(signed), privateKey));
    const device = { id, publicKey: base64(raw), signature, signedAt, nonce };
    const params = { minProtocol: 3, maxProtocol: 4, client: { id: client, version: "0", platform: "linux", mode } };
    send("connect", { ...params, role, scopes, auth: { token }, device });
  } else if (message.id === "connect" && message.error?.retryable) {
    // It has just been started.
    socket.onclose = null;
    socket.close();
    setTimeout(ask, message.error.retryAfterMs ?? 500);
  } else if (message.id === "connect") {
    end(JSON.stringify(message.ok ? "paired" : message.error), message.ok ? 0 : 1);
  }
}

function send(method, params) {
  socket.send(JSON.stringify({ type: "req", id: method, method, params }));
}

function end(said, code) {
  console.log(said);
  process.exit(code);
}
