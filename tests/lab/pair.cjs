// Connects to a gateway as a new device, with the right token, and says whether it was paired.
//
//   node pair.cjs URL TOKEN
//
// The protocol: `connect.challenge`, then `connect` with an ed25519 key that signs the challenge.
const crypto = require("node:crypto");

const [url, token] = process.argv.slice(2);
const { publicKey, privateKey } = crypto.generateKeyPairSync("ed25519");
const raw = publicKey.export({ type: "spki", format: "der" }).subarray(-32);
const id = crypto.createHash("sha256").update(raw).digest("hex");
const base64 = (bytes) => Buffer.from(bytes).toString("base64url");
const [client, mode, role, scopes, signedAt] = ["cli", "cli", "operator", ["operator.read"], Date.now()];

const socket = new WebSocket(url);
setTimeout(() => end("no answer", 1), 20_000);
socket.onerror = () => end("no connection", 1);
socket.onclose = (event) => end(`closed: ${event.code} ${event.reason}`, 1);
socket.onmessage = ({ data }) => {
  const message = JSON.parse(data);
  if (message.event === "connect.challenge") {
    const { nonce } = message.payload;
    const signed = ["v2", id, client, mode, role, scopes.join(","), signedAt, token, nonce].join("|");
    const signature = base64(crypto.sign(null, Buffer.from(signed), privateKey));
    const device = { id, publicKey: base64(raw), signature, signedAt, nonce };
    const params = { minProtocol: 3, maxProtocol: 3, client: { id: client, version: "0", platform: "linux", mode } };
    send("connect", { ...params, role, scopes, auth: { token }, device });
  } else if (message.id === "connect") {
    end(JSON.stringify(message.ok ? "paired" : message.error), message.ok ? 0 : 1);
  }
};

function send(method, params) {
  socket.send(JSON.stringify({ type: "req", id: method, method, params }));
}

function end(said, code) {
  console.log(said);
  process.exit(code);
}
