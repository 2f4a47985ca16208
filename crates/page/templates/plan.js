
const cards = [...document.querySelectorAll(".card")];
const buttons = [...document.querySelectorAll(".filters button")];
for (const button of buttons) {
  button.addEventListener("click", () => {
    for (const each of buttons) each.setAttribute("aria-pressed", String(each === button));
    const code = button.dataset.code;
    for (const card of cards) card.hidden = code !== "" && card.dataset.code !== code;
    for (const part of document.querySelectorAll(".zone, .group")) {
      part.hidden = !part.querySelector(".card:not([hidden])");
    }
  });
}
let shown = null;
function showPlaces(target) {
  const moving = target && target.closest && target.closest("[data-service]");
  if (moving === shown) return;
  shown = moving;
  document.body.classList.toggle("landing", Boolean(moving));
  const takes = moving && ` ${moving.dataset.service} `;
  const from = moving && moving.closest(".card");
  for (const card of cards) {
    card.classList.toggle("lands", Boolean(moving) && card.dataset.takes.includes(takes));
    card.classList.toggle("from", card === from);
  }
}
addEventListener("pointerover", (event) => showPlaces(event.target));
addEventListener("focusin", (event) => showPlaces(event.target));
addEventListener("focusout", () => showPlaces(null));
