// Runs once for the selected results: a box on each card, Shift and a click for a range, x on the keyboard, a long press.
const bar = element.querySelector('.dh-bar-below'), tagging = bar.querySelector('form');
let results = null;
const MOST = 1000, LONG = 500;  // items; milliseconds
let selected = new Set(), home = '', last = null, pressed = 0, held = false;
const cards = () => [...results.querySelectorAll('.dh-card')].filter(card => card.querySelector('.dh-pick') && card.offsetParent);
const idOf = card => card.querySelector('.dh-hit').dataset.id;
const homeOf = card => new URL(card.querySelector('.dh-hit').href).searchParams.get('collection') || '';
const show = () => {
  for (const card of results.querySelectorAll('.dh-card')) {
    const box = card.querySelector('.dh-pick input'), on = Boolean(box) && homeOf(card) === home && selected.has(idOf(card));
    card.classList.toggle('dh-selected', on);
    if (box) box.checked = on;
  }
  bar.hidden = !selected.size;
  results.classList.toggle('dh-selecting', selected.size > 0);
  bar.querySelector('b').textContent = `${selected.size.toLocaleString('en-GB')} selected`;
  tagging.hidden = !results.querySelector('[data-removable]');
  for (const link of bar.querySelectorAll('.dh-list')) {
    link.href = `api/list?${new URLSearchParams({collection: home, ids: [...selected].join(','), form: link.dataset.form})}`;
  }
};
const set = (card, on) => {
  if (home !== homeOf(card)) [selected, home] = [new Set(), homeOf(card)];  // a list is of one collection
  if (!on) selected.delete(idOf(card));
  else if (selected.size < MOST) selected.add(idOf(card));
};
const toggle = (card, range) => {
  const all = cards(), on = !selected.has(idOf(card)) || homeOf(card) !== home;
  const from = range && last !== null ? all.findIndex(one => idOf(one) === last) : -1;
  if (from < 0) set(card, on);
  else for (const one of all.slice(Math.min(from, all.indexOf(card)), Math.max(from, all.indexOf(card)) + 1)) set(one, true);
  last = idOf(card);
  show();
};
const none = () => { selected = new Set(); last = null; show(); };

const begin = () => {
  results = document.querySelector('#dh-results');
  if (!results) { setTimeout(begin, 50); return; }
  results.addEventListener('click', event => {
    const card = event.target.closest('.dh-card'), box = event.target.closest('.dh-pick');
    if (!card?.querySelector('.dh-pick')) return;
    if (held) { held = false; event.preventDefault(); event.stopPropagation(); return; }  // the end of a long press
    if (box && event.target.tagName !== 'INPUT') { event.preventDefault(); toggle(card, event.shiftKey); return; }
    const ranged = event.shiftKey && event.target.closest('.dh-hit');
    if (!box && !ranged) return;
    event.stopPropagation();
    if (ranged) event.preventDefault();
    toggle(card, event.shiftKey);
  }, true);
  results.addEventListener('keydown', event => {
    const card = event.target.closest('.dh-card');
    if (event.key.toLowerCase() !== 'x' || event.ctrlKey || event.metaKey || !card?.querySelector('.dh-pick')) return;
    toggle(card, event.shiftKey);
    event.preventDefault();
  });
  results.addEventListener('pointerdown', event => {
    const card = event.target.closest('.dh-card');
    held = false;
    clearTimeout(pressed);
    if (event.pointerType !== 'mouse' && card?.querySelector('.dh-pick')) pressed = setTimeout(() => { held = true; toggle(card, false); }, LONG);
  });
  for (const name of ['pointerup', 'pointercancel', 'pointermove']) {
    results.addEventListener(name, event => { if (name !== 'pointermove' || Math.hypot(event.movementX, event.movementY) > 6) clearTimeout(pressed); });
  }
  results.addEventListener('contextmenu', event => { if (held) event.preventDefault(); });
  new MutationObserver(show).observe(results, {childList: true, subtree: true});
};
begin();
document.addEventListener('keydown', event => {
  if (event.key === 'Escape' && selected.size && !document.querySelector('dialog[open]')) none();
});
bar.querySelector('.dh-none').addEventListener('click', none);
tagging.addEventListener('submit', event => {
  event.preventDefault();
  const input = tagging.querySelector('input'), tag = input.value.trim();
  if (!tag) { input.focus(); return; }
  trigger('tag', {collection: home, ids: [...selected].map(Number), tag});
  input.value = '';
  none();
});
