/* The API from its own description, /openapi.json. */
import { element, find } from "/static/element.js";

const document_ = await (await fetch("/openapi.json")).json();
const last = (reference) => reference.split("/").at(-1);

function kind(schema) {
  if (schema === undefined) return "bytes";
  if (schema.$ref) {
    const name = last(schema.$ref);
    return element("a", { href: `#${name}` }, name);
  }
  if (schema.type === "array") return element("span", {}, "list of ", kind(schema.items));
  if (schema.type === "object" && schema.additionalProperties?.$ref) return element("span", {}, "by name: ", kind(schema.additionalProperties));
  return schema.contentEncoding ?? schema.type ?? "anything";
}

function table(rows) {
  const made = rows.map(([name, ...cells]) => element("tr", {}, element("th", { scope: "row" }, name), ...cells.map((each) => element("td", {}, each))));
  return element("div", { className: "scroll" }, element("table", {}, element("tbody", {}, ...made)));
}

const code = (text) => element("code", {}, text);

function operation(path, method, found) {
  const parts = [
    element("h2", {}, element("span", { className: "method" }, method.toUpperCase()), code(path)),
    element("p", {}, `${found.summary}.`),
  ];
  const query = (found.parameters ?? []).filter((each) => each.in === "query");
  if (query.length > 0) parts.push(element("h3", {}, "Query"), table(query.map((each) => [code(each.name), each.schema.type, each.description ?? ""])));
  if (found.requestBody) {
    const forms = Object.entries(found.requestBody.content).map(([type, { schema }]) => {
      const names = Object.entries(schema?.properties ?? {}).map(([name, each]) => `${name}${schema.required?.includes(name) ? "" : "?"}: ${each.contentEncoding ?? each.type}`);
      return [code(type), names.length === 0 ? "the bytes of the file" : names.join(", ")];
    });
    parts.push(element("h3", {}, "Body"), element("p", {}, found.requestBody.description ?? ""), table(forms));
  }
  const answers = Object.entries(found.responses).map(([status, each]) => {
    const whole = each.$ref ? document_.components.responses[last(each.$ref)] : each;
    const [content] = Object.values(whole.content ?? {});
    return [status, element("span", {}, whole.description, " ", content?.schema?.$ref ? kind(content.schema) : "")];
  });
  parts.push(element("h3", {}, "Responses"), table(answers));
  return element("article", { id: found.operationId }, ...parts);
}

function schema(name, found) {
  const needed = found.required ?? [];
  const rows = Object.entries(found.properties ?? {}).map(([field, each]) => [code(needed.includes(field) ? field : `${field}?`), kind(each)]);
  return element("article", { id: name }, element("h2", {}, code(name)), element("p", {}, (found.description ?? "").replaceAll("`", "")), table(rows));
}

find("#about").textContent = document_.info.description;
const token = document_.components.securitySchemes ? ` \\\n  -H "Authorization: Bearer $RESNET_SERVE_TOKEN"` : "";
find("#first").textContent = `curl --fail-with-body -F image=@photo.jpg${token} ${document_.servers[0].url}/classify`;
for (const [path, methods] of Object.entries(document_.paths)) {
  for (const [method, found] of Object.entries(methods)) find("#operations").append(operation(path, method, found));
}
for (const [name, found] of Object.entries(document_.components.schemas)) find("#schemas").append(schema(name, found));
if (location.hash) find(location.hash)?.scrollIntoView();
