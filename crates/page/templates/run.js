
const cursors = [...document.querySelectorAll(".cursor")];
function showMoment(percent) {
  for (const cursor of cursors) {
    cursor.hidden = percent === null;
    if (percent !== null) cursor.style.left = percent + "%";
  }
}
for (const plot of document.querySelectorAll(".plot")) {
  plot.addEventListener("pointermove", (event) => {
    const { left, width } = plot.getBoundingClientRect();
    showMoment((event.clientX - left) * 100 / width);
  });
  plot.addEventListener("pointerleave", () => showMoment(null));
}
for (const line of document.querySelectorAll(".story li")) {
  const show = () => showMoment(Number(line.dataset.at));
  line.addEventListener("focus", show);
  line.addEventListener("pointerenter", show);
  line.addEventListener("blur", () => showMoment(null));
  line.addEventListener("pointerleave", () => showMoment(null));
}
