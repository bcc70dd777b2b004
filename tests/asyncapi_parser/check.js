// Parses the AsyncAPI document on standard input with AsyncAPI's own parser; prints what it finds, and what it read, as JSON.
import { text } from "node:stream/consumers";
import { createRequire } from "node:module";

const { Parser } = createRequire(process.argv[2])("@asyncapi/parser");
const { document, diagnostics } = await new Parser().parse(await text(process.stdin));
const found = diagnostics.map(({ severity, code, message, path }) => ({ severity, code, message, path: path.join(".") }));
const messages = document?.allMessages().all().map((message) => message.name()) ?? [];
console.log(JSON.stringify({ found, messages }));
