// Writes what the browser has drawn into the page: rectangles in the units of each chart, colours as the browser computes them.
const rectangle = (element) => {
  const { x, y, width, height } = element.getBBox();
  return { x, y, width, height };
};
const texts = (root, colour) => [...root].map((element) => ({
  text: element.textContent, kind: element.getAttribute("class") || element.tagName,
  colour: getComputedStyle(element)[colour], ...(element.getBBox ? rectangle(element) : {}),
}));
const charts = [...document.querySelectorAll("svg.chart")].map((chart) => ({
  view: ["width", "height"].map((side) => chart.viewBox.baseVal[side]),
  title: chart.querySelector("title").textContent,
  description: chart.querySelector("desc").textContent,
  label: chart.getAttribute("aria-labelledby").split(" ").map((id) => document.getElementById(id).tagName).join(" "),
  texts: texts(chart.querySelectorAll("text"), "fill"),
  rows: [...chart.querySelectorAll("g[data-value]")].map((row) => ({
    value: Number(row.dataset.value),
    bars: [...row.querySelectorAll(".bar")].map(rectangle),
    outline: [...row.querySelectorAll(".bar, .median, .sample")].map((mark) => getComputedStyle(mark).stroke)[0],
    medians: [...row.querySelectorAll(".median")].map((mark) => mark.transform.baseVal[0].matrix.e),
    samples: [...row.querySelectorAll(".sample")].map((mark) => mark.transform.baseVal[0].matrix.e),
    range: rectangle(row.querySelector(".range")),
  })),
  width: chart.getBoundingClientRect().width,
}));
const looks = [...document.querySelectorAll(".legend")].map((legend) => [...legend.children].map((entry) => ({
  title: entry.textContent,
  colour: getComputedStyle(entry.querySelector(".bar")).fill,
  pattern: entry.querySelector(".pattern")?.getAttribute("fill") ?? "",
  shape: entry.querySelector(".sample").getAttribute("d"),
})));
const root = document.documentElement;
const probe = {
  dark: matchMedia("(prefers-color-scheme: dark)").matches,
  page: getComputedStyle(document.body).backgroundColor,
  overflow: root.scrollWidth - root.clientWidth,
  charts, looks,
  texts: texts(document.querySelectorAll("h1, h2, p, li, caption, th, td"), "color"),
};
const bytes = new TextEncoder().encode(JSON.stringify(probe));
const output = document.createElement("pre");
output.id = "probe";
output.textContent = btoa(String.fromCharCode(...bytes));
output.hidden = true;
document.body.append(output);
