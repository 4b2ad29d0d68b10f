"use strict";

const PAUSE = 150; // Milliseconds without a key, until the texts are sent.
const AGAIN = 1000; // Until a busy server is asked once more.
const MOST_BYTES = 256 * 1024; // The server takes no more.
const EDITORS = ["injections", "pods"];
const TOO_MANY_REQUESTS = 429;
const byId = (id) => document.getElementById(id);
let timer = 0;
let isAsking = false;
let isChanged = false;

/** An element with texts or other elements in it; markup in a text stays text. */
function element(tag, style, ...content) {
  const result = document.createElement(tag);
  if (style) result.className = style;
  result.append(...content);
  return result;
}

/** What the server says to an operation. Throws an Error with a sentence. */
async function post(operation, texts) {
  const body = new TextEncoder().encode(JSON.stringify(texts));
  if (body.length > MOST_BYTES) throw new Error("The texts are too long for this page; explain and diff take more.");
  let response;
  try {
    response = await fetch(operation, { method: "POST", body });
  } catch {
    throw new Error("The playground does not answer: has it ended?");
  }
  if (response.ok) return response.json();
  if (response.status !== TOO_MANY_REQUESTS) throw new Error(`The playground refuses this: ${response.statusText}.`);
  await new Promise((resolve) => { setTimeout(resolve, AGAIN); });
  return post(operation, texts);
}

function later(milliseconds) {
  clearTimeout(timer);
  timer = setTimeout(ask, milliseconds);
}

/** Ask what becomes of the texts: one request at a time, and one after the last change. */
async function ask() {
  isChanged = isAsking;
  if (isAsking) return;
  isAsking = true;
  try {
    show(await post("answer", Object.fromEntries(EDITORS.map((id) => [id, byId(id).value]))));
  } catch (error) {
    headline(error.message, true);
  }
  isAsking = false;
  if (isChanged) later(0);
}

/** The one text that screen readers say by themselves; the result below it may be an old one. */
function headline(text, isOld) {
  if (byId("headline").textContent !== text) byId("headline").textContent = text;
  byId("result").classList.toggle("old", isOld);
}

function show(answer) {
  for (const id of EDITORS) showMistake(byId(id), answer.mistakes?.[id]);
  if (answer.mistakes) {
    headline("There is a mistake. Below is the last result without one.", true);
    return;
  }
  headline(answer.pods.map((pod) => pod.headline).join("; "), false);
  const notes = answer.notes.map((note) => element("li", "", note));
  byId("result").replaceChildren(
    ...answer.pods.flatMap((pod) => parts(pod, answer)),
    ...(notes.length ? [element("h3", "", "Notes"), element("ul", "soft", ...notes)] : []),
  );
}

/** What is wrong in an editor, below it, with a button that goes to the place. */
function showMistake(editor, mistake) {
  const place = byId(`${editor.id}-mistake`);
  const text = mistake?.message ?? "";
  editor.setAttribute("aria-invalid", String(Boolean(mistake)));
  if (place.firstChild?.textContent === text) return; // The focus may be on its button.
  place.replaceChildren(...(mistake ? [element("span", "", text)] : []));
  if (!mistake?.line) return;
  const button = element("button", "", `Go to line ${mistake.line}`);
  button.type = "button";
  button.addEventListener("click", () => {
    const before = editor.value.split("\n").slice(0, mistake.line - 1);
    const index = before.reduce((sum, line) => sum + line.length + 1, mistake.column - 1);
    editor.focus();
    editor.setSelectionRange(index, index);
  });
  place.append(" ", button);
}

/** What is shown of a pod: the rows and remedies of `explain`, and the lines of `diff`. */
function parts(pod, answer) {
  const rows = pod.answers.flatMap((row) => {
    if (typeof row === "string") return [element("dd", "", element("code", "", row))];
    const [subject, reason, message] = row;
    const title = [subject && `${subject}: `, element("span", answer.styles[reason] ?? "", reason)];
    return [element("dt", "", ...title), element("dd", "", message)];
  });
  const lines = (pod.diff ?? []).map((line) => {
    const isHead = /^(---|\+\+\+|@@)/.test(line);
    return element("span", isHead ? "soft" : { "+": "added", "-": "removed" }[line[0]] ?? "", line);
  });
  const none = pod.diff ? "The pod is not changed." : `A pod of ${pod.lines} lines is not compared here, but by sidecar-injector diff.`;
  return [
    ...(answer.pods.length > 1 ? [element("h3", "", pod.headline)] : []),
    ...pod.help.map((text) => element("p", "", element("code", "", text))),
    ...(rows.length ? [element("dl", "", ...rows)] : []),
    lines.length ? element("pre", "", ...lines) : element("p", "soft", none),
  ];
}

/** Fill the lists above the editors with what a namespace of the cluster contains. */
async function offer() {
  const choices = await post("choices", {});
  for (const id of choices.namespace ? EDITORS : []) {
    const form = byId(id).parentElement.querySelector("form");
    const select = form.querySelector("select");
    select.replaceChildren(...choices[id].map((name) => element("option", "", name)));
    form.querySelector("button").disabled = !choices[id].length;
    form.querySelector(".namespace").textContent = choices.namespace;
    form.hidden = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      use(byId(id), select.value);
    });
  }
  byId("cluster").textContent = (choices.notes ?? []).join("; ");
}

/** Replace the text of an editor by what was chosen. */
async function use(editor, choice) {
  try {
    const chosen = await post("manifests", { editor: editor.id, choice });
    byId("cluster").textContent = chosen.notes.join("; ");
    if (!chosen.text) return;
    editor.value = chosen.text;
    later(0);
  } catch (error) {
    byId("cluster").textContent = error.message;
  }
}

for (const id of EDITORS) byId(id).addEventListener("input", () => later(PAUSE));
ask().then(offer).catch((error) => { byId("cluster").textContent = error.message; });
