// For the test of the page: texts whose contrast with what is behind them is below WCAG AA (4.5).
// @ts-check

/** @param {string} color */
function luminance(color) {
  const [r = 0, g = 0, b = 0] = (color.match(/[\d.]+/g) ?? []).map((n) => {
    const part = Number(n) / 255;
    return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** @param {Element | null} element @returns {string} */
function behind(element) {
  if (element === null) return "rgb(255, 255, 255)";
  const color = getComputedStyle(element).backgroundColor;
  return color === "rgba(0, 0, 0, 0)" ? behind(element.parentElement) : color;
}

function findFaintTexts() {
  /** @type {Set<string>} */
  const faint = new Set();
  for (const element of document.querySelectorAll("body *:not(script, style, svg *)")) {
    const own = [...element.childNodes].some(
      (node) => node.nodeType === Node.TEXT_NODE && node.textContent?.trim() !== "",
    );
    if (!own || !element.checkVisibility()) continue;
    const [a, b] = [luminance(getComputedStyle(element).color), luminance(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.add(`${element.tagName} ${element.className}: ${ratio.toFixed(2)}`);
  }
  return [...faint];
}

findFaintTexts();
