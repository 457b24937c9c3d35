// Conveniences of the page at /docs: the reader's own address, search, copying, and trying an endpoint in place.
"use strict";

const NARROW = matchMedia("(max-width: 55rem)");
const SHOWN_CHARS = 100000; // of a body that was answered

function element(name, fields = {}, ...children) {
  const made = Object.assign(document.createElement(name), fields);
  made.append(...children);
  return made;
}

// The list of endpoints: always open where there is room beside the text.
const list = document.querySelector("nav details");
const fit = () => (list.open = !NARROW.matches);
fit();
NARROW.addEventListener("change", fit);
list.querySelector("summary").addEventListener("click", (event) => {
  if (!NARROW.matches) event.preventDefault();
});
list.querySelector("ul").addEventListener("click", (event) => {
  if (NARROW.matches && event.target.closest("a")) list.open = false;
});

// The server knows the address by its Host; a proxy may have changed scheme or port.
const told = document.querySelector("main").dataset.address;
const commands = document.querySelectorAll(".command code");
if (told !== location.origin) {
  for (const command of commands) command.textContent = command.textContent.replace(told, location.origin);
}

// Search: every word must be in the text of an endpoint; others are hidden, in the list and on the page.
const filter = document.getElementById("filter");
const found = document.getElementById("found");
const texts = new Map();
for (const article of document.querySelectorAll("article")) texts.set(article, article.textContent.toLowerCase());

const unfolded = new Set();

function unfold(node) {
  const details = node.parentElement.closest("details:not([open])");
  if (details) {
    details.open = true;
    unfolded.add(details);
  }
}

// Marks the words in what is shown, and opens what they are folded up in, until the next search.
function mark(words) {
  for (const details of unfolded) details.open = false;
  unfolded.clear();
  const ranges = [];
  for (const article of texts.keys()) {
    if (article.hidden) continue;
    const walker = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const text = node.data.toLowerCase();
      for (const word of words) {
        for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + word.length)) {
          const range = new Range();
          range.setStart(node, at);
          range.setEnd(node, at + word.length);
          ranges.push(range);
          unfold(node);
        }
      }
    }
  }
  if (window.Highlight) CSS.highlights.set("found", new Highlight(...ranges));
}

function search() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const [article, text] of texts) {
    article.hidden = !words.every((word) => text.includes(word));
    count += !article.hidden;
  }
  for (const section of document.querySelectorAll("main > section")) {
    section.hidden = words.length > 0 && !section.querySelector("article:not([hidden])");
  }
  for (const tag of document.querySelectorAll("nav .tag")) {
    for (const item of tag.querySelectorAll("li")) {
      item.hidden = document.querySelector(item.firstChild.getAttribute("href")).hidden;
    }
    tag.hidden = words.length > 0 && !tag.querySelector("li:not([hidden])");
  }
  found.hidden = words.length === 0;
  found.textContent = count === 0 ? "Nothing found" : `${count} of ${texts.size} endpoints`;
  mark(words);
}

filter.hidden = false;
filter.addEventListener("input", search);
addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.closest("input, textarea, select")) {
    event.preventDefault();
    list.open = true;
    filter.focus();
  }
});

// Copying.
if (navigator.clipboard) {
  for (const command of commands) {
    const button = element("button", { className: "copy", type: "button", textContent: "copy" });
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(command.textContent);
      button.textContent = "copied";
      setTimeout(() => (button.textContent = "copy"), 2000);
    });
    command.parentElement.append(button);
  }
}

// Trying it: a form of the endpoint's parameters. What is answered is shown as text, never as markup.
const token = document.getElementById("token");
token.hidden = false;

function inputFor({ name, in: where, example }) {
  const value = where === "path" ? example : "";
  return element("input", { name, value, placeholder: example, autocomplete: "off", spellcheck: false });
}

function requestOf(article, form) {
  let path = article.dataset.path;
  const query = new URLSearchParams();
  const headers = new Headers();
  for (const { name, in: where } of parametersOf(article)) {
    const value = form.elements[name].value;
    if (where === "path") {
      path = path.replace(`{${name}}`, value.split("/").map(encodeURIComponent).join("/"));
    } else if (value !== "") {
      (where === "query" ? query : headers).append(name, value);
    }
  }
  const secret = token.querySelector("input").value.trim();
  if (secret) headers.set("Authorization", `Bearer ${secret}`);
  const method = form.elements.method?.value ?? article.dataset.method.toUpperCase();
  const body = ["GET", "HEAD"].includes(method) ? undefined : form.elements.body?.value;
  return [path + (query.size ? `?${query}` : ""), { method, headers, body, redirect: "manual", cache: "no-store" }];
}

async function show(answer, output) {
  const head = answer.type === "opaqueredirect" ? "A redirect, which is not followed here" : `${answer.status} ${answer.statusText}`;
  const lines = [...answer.headers].map(([name, value]) => `${name}: ${value}`);
  output.textContent = [head, ...lines, "", ""].join("\n");
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  for (let shown = 0; reader; ) {
    const { value, done } = await reader.read();
    if (done) break;
    shown += value.length;
    output.textContent += value.slice(0, SHOWN_CHARS);
    if (shown > SHOWN_CHARS) {
      output.textContent += "\n… and more";
      await reader.cancel();
      break;
    }
  }
}

function parametersOf(article) {
  return [...article.querySelectorAll("tr[data-name]")].map((row) => row.dataset);
}

function formFor(article) {
  const form = element("form", { className: "try" });
  if (article.dataset.method === "any") {
    const methods = ["POST", "GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    const select = element("select", { name: "method" }, ...methods.map((one) => new Option(one, one)));
    form.append(element("label", {}, "method", select));
  }
  for (const parameter of parametersOf(article)) {
    form.append(element("label", {}, parameter.name, inputFor(parameter)));
  }
  if (article.dataset.body !== undefined) {
    const text = element("textarea", { name: "body", rows: 5, spellcheck: false, value: article.dataset.body });
    try {
      text.value = JSON.stringify(JSON.parse(text.value), null, 2);
    } catch {
      // a payload that is no JSON stays as it is
    }
    form.append(element("label", {}, "body", text));
  }
  const send = element("button", { className: "button", type: "submit", textContent: "Send" });
  const stop = element("button", { className: "button quiet", type: "button", textContent: "Stop", hidden: true });
  const output = element("code");
  const block = element("pre", { hidden: true, className: "answer", ariaLive: "polite" }, output);
  form.append(element("p", {}, send, " ", stop), block);
  let sent = new AbortController();
  stop.addEventListener("click", () => sent.abort());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    sent = new AbortController();
    send.disabled = true;
    stop.hidden = block.hidden = false;
    output.textContent = "…";
    try {
      const [target, options] = requestOf(article, form);
      await show(await fetch(target, { ...options, signal: sent.signal }), output);
    } catch (error) {
      output.textContent += error.name === "AbortError" ? "\nstopped" : `\n${error.message}`;
    }
    send.disabled = false;
    stop.hidden = true;
  });
  return form;
}

for (const article of texts.keys()) {
  const button = element("button", { className: "button quiet", type: "button", textContent: "Try it", ariaExpanded: "false" });
  let form = null;
  button.addEventListener("click", () => {
    form ??= formFor(article);
    if (form.isConnected) form.remove();
    else button.after(form);
    button.textContent = form.isConnected ? "Close" : "Try it";
    button.ariaExpanded = String(form.isConnected);
  });
  article.querySelector(".command").after(button);
}
