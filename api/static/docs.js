// Conveniences of the page at /docs: a filter for its list of endpoints, and a button that copies a command.
"use strict";

const list = document.querySelector("nav details");
if (matchMedia("(max-width: 55rem)").matches) {
  list.open = false;
}
list.querySelector("summary").addEventListener("click", (event) => {
  if (!matchMedia("(max-width: 55rem)").matches) {
    event.preventDefault(); // beside the text there is always room for it
  }
});

const filter = document.getElementById("filter");
filter.hidden = false;
filter.addEventListener("input", () => {
  const wanted = filter.value.trim().toLowerCase();
  for (const tag of document.querySelectorAll("nav .tag")) {
    let isShown = tag.textContent.toLowerCase().includes(wanted);
    for (const item of tag.querySelectorAll("li")) {
      const target = document.querySelector(item.firstChild.getAttribute("href"));
      item.hidden = !(item.textContent + target.querySelector("h3").textContent).toLowerCase().includes(wanted);
      isShown ||= !item.hidden;
    }
    tag.hidden = !isShown;
  }
});

if (navigator.clipboard) {
  for (const block of document.querySelectorAll("article > pre")) {
    const button = document.createElement("button");
    button.className = "copy";
    button.textContent = "copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(block.querySelector("code").textContent);
      button.textContent = "copied";
    });
    block.append(button);
  }
}
