// Prepended to the scripts of the panels. An answer changes a panel's HTML; the focus stays with what it was on.
let focused = null;
const attributes = ['id', 'sign', 'part', 'step'];
const described = node => node.tagName + [...node.classList].map(name => '.' + name).join('')
  + attributes.filter(name => name in node.dataset).map(name => `[data-${name}="${node.dataset[name]}"]`).join('');
element.addEventListener('focusin', event => { focused = described(event.target); });
for (const kind of ['focusin', 'pointerdown']) {
  document.addEventListener(kind, event => { if (!element.contains(event.target)) focused = null; });
}
const keepFocus = otherwise => watch('value', () => {
  if (focused === null) return;
  const kept = element.contains(document.activeElement) && !document.activeElement.disabled;
  const node = element.querySelector(focused) || (kept ? null : element.querySelector(otherwise));
  // A picture that was searched with is now the first result and comes into view. Nothing else moves the page.
  if (node && node !== document.activeElement) node.focus({preventScroll: !node.matches('.dh-hit')});
});
