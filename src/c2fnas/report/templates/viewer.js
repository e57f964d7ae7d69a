// The strip of slices scrolls without this; it adds a slider, keys, the wheel and a switch for the labels.
for (const viewer of document.querySelectorAll(".viewer")) {
  const strip = viewer.querySelector(".strip"), controls = viewer.querySelector(".controls");
  const slider = controls.querySelector("input[type=range]"), number = controls.querySelector("output");
  const slices = [...strip.children];
  const place = () => Math.round(strip.scrollLeft / strip.clientWidth);
  const show = (index) => {
    const inside = Math.max(0, Math.min(slices.length - 1, index));
    strip.scrollTo({ left: inside * strip.clientWidth, behavior: "instant" });
    slider.value = inside;
    number.textContent = slices[inside].dataset.slice;
  };
  slider.addEventListener("input", () => show(Number(slider.value)));
  strip.addEventListener("scroll", () => {
    slider.value = place();
    number.textContent = slices[place()].dataset.slice;
  });
  strip.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (step) { event.preventDefault(); show(place() + step); }
  });
  strip.addEventListener("wheel", (event) => {
    if (document.activeElement === strip && event.deltaY) { event.preventDefault(); show(place() + Math.sign(event.deltaY)); }
  }, { passive: false });
  controls.querySelector("input[type=checkbox]").addEventListener("change", (event) => {
    viewer.classList.toggle("bare", !event.target.checked);
  });
  addEventListener("resize", () => show(Number(slider.value)));
  controls.hidden = false;
  show(Number(viewer.dataset.start));
}
