// The npm client v2: URL MODE ERRAND, where MODE is "auto" or "legacy"; makes the errand's calls and prints what it saw.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

const [url, mode, told] = process.argv.slice(2);
const errand = JSON.parse(told);
const text = (blocks) => blocks.filter((block) => block.type === "text").map((block) => block.text).join("");
const asked = [];

const capabilities = { elicitation: { form: {} }, sampling: {}, ...(errand.root ? { roots: {} } : {}) };
const client = new Client(
  { name: "journey", version: "1.0.0" },
  { capabilities, versionNegotiation: { mode } },
);
client.setRequestHandler("elicitation/create", async () => {
  asked.push("elicitation");
  return { action: "accept", content: errand.elicited };
});
client.setRequestHandler("sampling/createMessage", async () => {
  asked.push("sampling");
  return { role: "assistant", content: { type: "text", text: errand.sampled }, model: "none", stopReason: "endTurn" };
});
if (errand.root) {
  client.setRequestHandler("roots/list", async () => {
    asked.push("roots");
    return { roots: [{ uri: errand.root, name: "root" }] };
  });
}
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: errand.headers } }));

const tools = await client.listTools();
const results = [];
for (const [name, args] of errand.calls) {
  const progress = [];
  const onprogress = (update) => {
    if (update.total !== undefined) progress.push(update.progress); // without a total it is this client's own, of a question
  };
  const result = await client.callTool({ name, arguments: args }, { onprogress });
  results.push({
    text: text(result.content),
    structured: result.structuredContent ?? null,
    is_error: result.isError ?? false,
    progress,
  });
}
const revision = client.getNegotiatedProtocolVersion();
console.log(JSON.stringify({ revision, tools: tools.tools.map((tool) => tool.name), results, asked }));
await client.close();
