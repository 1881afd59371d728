// The npm SDK v1 client: URL MODE ERRAND; makes the errand's calls one after the other and prints what it saw.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  CallToolResultSchema,
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";

const [url, , told] = process.argv.slice(2);
const errand = JSON.parse(told);
const text = (blocks) => blocks.filter((block) => block.type === "text").map((block) => block.text).join("");
const asked = [];

const capabilities = { elicitation: {}, sampling: {}, ...(errand.root ? { roots: {} } : {}) };
const client = new Client({ name: "journey", version: "1.0.0" }, { capabilities });
client.setRequestHandler(ElicitRequestSchema, async () => {
  asked.push("elicitation");
  return { action: "accept", content: errand.elicited };
});
client.setRequestHandler(CreateMessageRequestSchema, async () => {
  asked.push("sampling");
  return { role: "assistant", content: { type: "text", text: errand.sampled }, model: "none", stopReason: "endTurn" };
});
if (errand.root) {
  client.setRequestHandler(ListRootsRequestSchema, async () => {
    asked.push("roots");
    return { roots: [{ uri: errand.root, name: "root" }] };
  });
}
const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: errand.headers } });
await client.connect(transport);

const tools = await client.listTools();
const results = [];
for (const [name, args] of errand.calls) {
  const progress = [];
  const onprogress = (update) => progress.push(update.progress);
  const result = await client.callTool({ name, arguments: args }, CallToolResultSchema, { onprogress });
  results.push({
    text: text(result.content),
    structured: result.structuredContent ?? null,
    is_error: result.isError ?? false,
    progress,
  });
}
console.log(
  JSON.stringify({ revision: transport.protocolVersion, tools: tools.tools.map((tool) => tool.name), results, asked }),
);
await transport.terminateSession();
await client.close();
