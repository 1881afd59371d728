// The npm client v2: URL MODE STORY, where MODE is "auto" or "legacy"; prints what it saw.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

const [url, mode, told] = process.argv.slice(2);
const story = JSON.parse(told);
const call = ([name, args]) => ({ name, arguments: args });
const text = (blocks) => blocks.filter((block) => block.type === "text").map((block) => block.text).join("");
const progress = [];
const asked = [];

const client = new Client(
  { name: "journey", version: "1.0.0" },
  { capabilities: { elicitation: { form: {} } }, versionNegotiation: { mode } },
);
client.setRequestHandler("elicitation/create", async (request) => {
  asked.push(request.params.message);
  return { action: "accept", content: story.answer };
});
await client.connect(new StreamableHTTPClientTransport(new URL(url)));

const tools = await client.listTools();
const called = await client.callTool(call(story.call));
const onprogress = (update) => progress.push(update.progress);
const worked = await client.callTool(call(story.work), { onprogress });
const resource = await client.readResource({ uri: story.resource });
const prompt = await client.getPrompt(call(story.prompt));
const answered = await client.callTool(call(story.ask));
console.log(
  JSON.stringify({
    revision: client.getNegotiatedProtocolVersion(),
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
await client.close();
