// Runs once for the dialog that shows a picture large. Whatever names it came from strangers: text, never markup.
const view = element.querySelector('dialog'), find = selector => view.querySelector(selector);
let all = [], shown = null, act = null;

const addressOf = (hit, rest) => {
  const asked = new URL(hit.href).searchParams;
  return `api/items/${asked.get('id')}${rest}${new URLSearchParams({collection: asked.get('collection')})}`;
};
const row = (name, value) => {
  const term = document.createElement('dt'), text = document.createElement('dd');
  term.textContent = name;
  text.textContent = value;
  return [term, text];
};
const amount = bytes => bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
const tell = item => {
  const size = item.width ? [row('Original', `${item.width} × ${item.height} pixels, ${amount(item.bytes)}`)] : [];
  const told = size.length ? ['width', 'height', 'size'] : [];
  const known = Object.entries(item.attributes).filter(([name, value]) => value !== null && value !== '' && !told.includes(name))
    .map(([name, value]) => [item.titles[name] || name, String(value).replace(/^(\d{4}-\d\d-\d\d)T/, '$1 ')]);
  find('.dh-known').replaceChildren(...[row('File', item.path), ...size, ...known.map(pair => row(...pair))].flat());
  find('h2').textContent = item.path.split('/').pop();
  find('.dh-save').download = item.path.split('/').pop();
};
const bitsOf = hex => [...hex].flatMap(digit => [3, 2, 1, 0].map(bit => (parseInt(digit, 16) >> bit) & 1));
const compare = hit => {
  const query = document.querySelector('.dh-code'), code = hit.dataset.code;
  find('.dh-view-code').hidden = !query || !code;
  if (find('.dh-view-code').hidden) return;
  const bits = query.querySelector('.dh-bits'), wanted = bitsOf(query.dataset.code), other = bitsOf(code);
  const cells = [...bits.children].map((cell, bit) => {
    const copy = cell.cloneNode();
    copy.classList.toggle('diff', wanted[bit] !== other[bit]);
    return copy;
  });
  find('.dh-bits').setAttribute('style', bits.getAttribute('style'));
  find('.dh-bits').replaceChildren(...cells);
  const count = cells.filter(cell => cell.matches('.diff')).length;
  find('.dh-diff').textContent = `${count} of ${cells.length} bits differ from the query`;
};
const turnTo = hit => {
  shown = hit;
  const picture = find('img'), small = hit.querySelector('img');
  picture.src = addressOf(hit, '/thumbnail?side=1024&');
  picture.alt = small.alt;
  find('h2').textContent = small.alt;
  find('.dh-known').replaceChildren();
  find('.dh-view-word').textContent = hit.dataset.said || '';
  find('.dh-new').href = hit.href;
  find('.dh-save').href = picture.src;
  find('.dh-remove').hidden = !hit.closest('[data-removable]');
  for (const button of view.querySelectorAll('[data-act=steer]')) button.hidden = !hit.dataset.rank;
  for (const button of view.querySelectorAll('.dh-turn')) button.disabled = !all[all.indexOf(hit) + Number(button.dataset.turn)];
  compare(hit);
  fetch(addressOf(hit, '?')).then(answer => answer.ok && answer.json()).then(item => { if (item && shown === hit) tell(item); }, () => {});
};
const turn = step => { const next = all[all.indexOf(shown) + step]; if (next) turnTo(next); };
const copy = async button => {
  await navigator.clipboard?.writeText(find('.dh-known dd')?.textContent || '');
  button.textContent = 'Copied';
  setTimeout(() => { button.textContent = 'Copy path'; }, 1200);
};

document.addEventListener('dh-large', event => {
  ({all, act} = event.detail);
  turnTo(event.detail.hit);
  if (!view.open) view.showModal();
  find('.dh-primary').focus();
});
view.addEventListener('close', () => shown?.focus());
view.addEventListener('keydown', event => {
  const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (step) { turn(step); event.preventDefault(); }
  event.stopPropagation();  // the page's own keys sleep behind a dialog
});
view.addEventListener('click', event => {
  const button = event.target.closest('button');
  if (event.target === view || button?.matches('.dh-shut')) view.close();
  if (button?.dataset.turn) turn(Number(button.dataset.turn));
  if (button?.dataset.act === 'copy') copy(button);
  else if (button?.dataset.act) {
    const hit = shown;
    view.close();
    act[button.dataset.act]({id: Number(hit.dataset.id), sign: Number(button.dataset.sign || 0), collection: hit.dataset.collection || ''});
  }
});
