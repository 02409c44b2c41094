// Runs once for the results panel. Clicks become events for Python; everything else stays in the browser.
const pick = (event, selector) => event.target.closest(selector);
// Named one by one: Gradio looks for the names of events in this text.
const act = {requery: data => trigger('requery', data), steer: data => trigger('steer', data),
             discard: data => trigger('discard', data)};

element.addEventListener('click', event => {
  const steer = pick(event, '.dh-steer');
  if (steer) { trigger('steer', {id: Number(steer.dataset.id), sign: Number(steer.dataset.sign)}); return; }
  const hit = pick(event, '.dh-hit');
  if (hit) {  // a link: with Ctrl, Shift or the middle button it opens by itself, elsewhere
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    const hits = [...element.querySelectorAll('a.dh-hit')].filter(one => one.offsetParent);
    document.dispatchEvent(new CustomEvent('dh-large', {detail: {hit, all: hits, act}}));
    return;
  }
  const further = pick(event, '.dh-further');
  if (further) { further.disabled = true; trigger('further', {k: Number(further.dataset.k)}); return; }
  const size = pick(event, '[data-size]');
  if (size) { keep(size.dataset.size); fit(); return; }
  const action = pick(event, '.dh-action');
  if (action) trigger('cutoff', {bits: Number(action.dataset.cutoff)});
});

// Thumbnails of two sizes, as this browser was last asked for.
let held = 'small';
try { held = localStorage.getItem('deephash.size') || held; } catch { /* a browser that keeps nothing */ }
const keep = size => {
  held = size;
  try { localStorage.setItem('deephash.size', size); } catch { /* it is kept until the page is left */ }
};
const fit = () => {
  const large = held === 'large';
  element.classList.toggle('dh-large-cards', large);
  for (const one of element.querySelectorAll('[data-size]')) one.setAttribute('aria-pressed', one.dataset.size === held);
  for (const one of element.querySelectorAll('.dh-grid img[srcset]')) one.sizes = large ? '320px' : '160px';
};
watch('value', fit);
fit();

// Hovering or focusing a result marks the bits in which its code differs from the query's.
const nibbles = [...Array(16).keys()].map(n => [3, 2, 1, 0].map(bit => (n >> bit) & 1));
const bitsOf = hex => [...hex].flatMap(digit => nibbles[parseInt(digit, 16)]);
const show = hit => {
  const view = document.querySelector('.dh-code');
  if (!view || !hit || !hit.dataset.code) return;
  const query = bitsOf(view.dataset.code), other = bitsOf(hit.dataset.code);
  const width = view.querySelectorAll('.dh-bits i').length;
  let count = 0;
  view.querySelectorAll('.dh-bits i').forEach((cell, bit) => {
    const differs = query[bit] !== other[bit];
    cell.classList.toggle('diff', differs);
    count += differs && bit < width;
  });
  view.querySelector('.dh-diff').innerHTML =
    `<b>${count}</b> ${count === 1 ? 'bit differs' : 'bits differ'} from <b>#${Number(hit.dataset.rank)}</b>`;
};
element.addEventListener('mouseover', event => show(pick(event, '.dh-hit')));
element.addEventListener('focusin', event => show(pick(event, '.dh-hit')));

// Arrow keys walk over the grid; Home and End go to its ends.
element.addEventListener('keydown', event => {
  const cards = [...element.querySelectorAll('.dh-hit')].filter(card => card.offsetParent);
  const here = cards.indexOf(document.activeElement);
  if (here < 0) return;
  const columns = cards.filter(card => Math.abs(card.offsetTop - cards[0].offsetTop) < 4
    && Math.abs(card.getBoundingClientRect().top - cards[0].getBoundingClientRect().top) < 4).length || 1;
  const steps = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns,
                 Home: -here, End: cards.length - 1 - here};
  if (!(event.key in steps)) return;
  const target = cards[here + steps[event.key]];
  if (target) { target.focus(); event.preventDefault(); }
});

// A picture whose file is gone answers with an error: show its name instead of a broken image.
element.addEventListener('error', event => {
  if (event.target.tagName === 'IMG') event.target.classList.add('dh-lost');
}, true);

keepFocus('.dh-hit');
