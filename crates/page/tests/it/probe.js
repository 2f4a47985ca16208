// Looks into every frame of the page around it, and writes down what it finds.
"use strict";
const frames = [...document.querySelectorAll("iframe")];
const isShown = (element) => element.getClientRects().length > 0;
const name = (element) => `${element.localName}.${element.getAttribute("class")}: ${element.textContent.trim().slice(0, 60)}`;

// Texts that reach out of their element or of the page, and are not cut off with an ellipsis.
function overflows(view) {
  const found = [];
  const root = view.document.scrollingElement;
  if (root.scrollWidth > root.clientWidth) found.push(`the page is ${root.scrollWidth} wide`);
  for (const element of view.document.body.querySelectorAll("*:not(script, svg, svg *)")) {
    const style = view.getComputedStyle(element);
    if (!isShown(element) || false) continue;
    const box = element.getBoundingClientRect();
    for (const node of element.childNodes) {
      if (node.nodeType !== Node.TEXT_NODE || !node.data.trim()) continue;
      const range = view.document.createRange();
      range.selectNodeContents(node);
      const text = range.getBoundingClientRect();
      const isOut = style.display !== "inline" && (text.right > box.right + 1 || text.bottom > box.bottom + 4);
      if (isOut || text.right > root.clientWidth + 1 || text.left < -1) found.push(name(element));
    }
  }
  return found;
}

function look(frame) {
  const view = frame.contentWindow;
  const page = view.document;
  const all = (selector) => [...page.querySelectorAll(selector)];
  const found = { width: frame.width, errors: view.problems, overflows: overflows(view) };
  for (const card of all("details")) card.open = true;
  found.overflows.push(...overflows(view));
  found.ids = all(".card[data-id], .label[data-id]").filter(isShown).map((each) => each.dataset.id);
  found.tasks = all("[data-task]").filter(isShown).map((each) => each.dataset.task);
  found.tasks_of = {};
  for (const card of all(".card")) {
    const counts = [...card.querySelectorAll(".tasks b")].map((each) => parseInt(each.textContent, 10));
    found.tasks_of[card.dataset.id] = counts.reduce((sum, count) => sum + count, 0);
  }
  const moving = page.querySelector("li[data-service]");
  if (moving) {
    moving.dispatchEvent(new view.Event("focusin", { bubbles: true }));
    found.lands = all(".card.lands").length;
    page.querySelector("[data-code=goes]").click();
    found.shown_by_filter = all(".card").filter(isShown).length;
    found.goes = all(".card.goes").length;
  }
  const line = page.querySelector(".story li");
  if (line) {
    line.dispatchEvent(new view.Event("pointerenter"));
    found.cursor = page.querySelector(".cursor").style.left;
    found.cursors = all(".cursor:not([hidden])").length;
  }
  return found;
}

addEventListener("load", () => {
  const found = document.createElement("pre");
  found.id = "found";
  found.textContent = JSON.stringify(frames.map(look)).replace(/[&<>]/g, (sign) =>
    "\\u00" + sign.charCodeAt(0).toString(16));
  document.body.append(found);
});
