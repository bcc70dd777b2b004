// Receives Dewarwatch's webhooks: verifies each message, takes it once, and keeps the newest state of everything.
//
//     npm ci
//     WEBHOOK_SECRET=whsec_... node receiver.js [PORT]
//
// Messages are printed, one JSON object a line. What was taken is in `receiver.jsonl`, so that a restart forgets nothing.

import { createServer } from "node:http";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

const LARGEST_BODY = 20_000;
const webhook = new Webhook(process.env.WEBHOOK_SECRET);
const journal = process.env.WEBHOOK_STORE ?? "receiver.jsonl";
const taken = new Set();
const newest = new Map();

// The journal is the memory. A line that a crash cut off was not answered, so it comes again.
if (existsSync(journal)) {
  for (const line of readFileSync(journal, "utf8").split("\n")) {
    try {
      const { id, message } = JSON.parse(line);
      remember(id, message);
    } catch {
      continue;
    }
  }
}

function remember(id, message) {
  taken.add(id);
  work(message);
}

// Put your own work here. Messages may come in any order: the one with the higher `sequence` is the newer.
// What is of no shipment, such as an alert about the whole fleet, has a `revision` instead.
function work({ type, data }) {
  const what = data.id ?? data.shipment_id ?? type;
  const before = newest.get(what);
  const sequence = data.sequence ?? data.revision ?? 0;
  if (!before || sequence > before.sequence) {
    newest.set(what, { sequence, type, data });
  }
}

function read(request) {
  return new Promise((resolve, reject) => {
    const pieces = [];
    let size = 0;
    request.on("data", (piece) => {
      size += piece.length;
      if (size <= LARGEST_BODY) pieces.push(piece);
    });
    request.on("end", () => resolve(size <= LARGEST_BODY ? Buffer.concat(pieces) : null));
    request.on("error", reject);
  });
}

async function receive(request) {
  if (request.method !== "POST") return 405;
  const body = await read(request); // the bytes as they came: parsed and written again they would differ
  if (body === null) return 413;
  let message;
  try {
    message = webhook.verify(body, request.headers);
  } catch {
    return 401;
  }
  const id = request.headers["webhook-id"];
  if (!taken.has(id)) {
    appendFileSync(journal, "\n" + JSON.stringify({ id, message }) + "\n", { flush: true });
    remember(id, message);
    console.log(JSON.stringify(message));
  }
  return 204; // only now: until then it is sent again
}

createServer((request, response) => {
  receive(request).then(
    (status) => response.writeHead(status).end(),
    () => response.writeHead(500).end(),
  );
}).listen(Number(process.argv[2] ?? 8000), "127.0.0.1");
