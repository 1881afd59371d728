// The npm SDK v1 client: URL MODE STORY; prints what it saw.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CallToolResultSchema, ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

const [url, , told] = process.argv.slice(2);
const story = JSON.parse(told);
const call = ([name, args]) => ({ name, arguments: args });
const text = (blocks) => blocks.filter((block) => block.type === "text").map((block) => block.text).join("");
const progress = [];
const asked = [];

const client = new Client({ name: "journey", version: "1.0.0" }, { capabilities: { elicitation: {} } });
client.setRequestHandler(ElicitRequestSchema, async (request) => {
  asked.push(request.params.message);
  return { action: "accept", content: story.answer };
});
const transport = new StreamableHTTPClientTransport(new URL(url));
await client.connect(transport);

const tools = await client.listTools();
const called = await client.callTool(call(story.call));
const onprogress = (update) => progress.push(update.progress);
const worked = await client.callTool(call(story.work), CallToolResultSchema, { onprogress });
const resource = await client.readResource({ uri: story.resource });
const prompt = await client.getPrompt(call(story.prompt));
const answered = await client.callTool(call(story.ask));
console.log(
  JSON.stringify({
    revision: transport.protocolVersion,
    tools: tools.tools.map((tool) => tool.name),
    called: called.structuredContent,
    worked: text(worked.content),
    progress,
    resource: resource.contents[0].text,
    prompt: text(prompt.messages.map((message) => message.content)),
    asked,
    answered: text(answered.content),
  }),
);
await transport.terminateSession();
await client.close();
