// Runs once for the results. The address of the page names the query, so that it can be kept or sent; Back and Forward
// walk the queries. (A picture itself never travels in an address, its code does.)
let travelling = 'opened', turn = 0;  // the first answer is that of the address that was opened

watch('value', () => {
  const shown = element.querySelector('[data-link]'), came = travelling;
  const link = shown?.dataset.link || '', answered = element.querySelector('[data-turn]')?.dataset.turn;
  if (came === 'history' && Number(answered) !== turn) return;  // of an entry that a further Back has left since
  travelling = '';
  if (!shown) return;
  const {key, kind} = shown.dataset, here = history.state || {};
  const same = came || here.key === key || (kind === 'drawing' && here.kind === 'drawing');  // a stroke is no step
  const state = {key, kind, depth: (here.depth || 0) + (same ? 0 : 1)};
  history[same ? 'replaceState' : 'pushState'](state, '', link || location.pathname);
});
window.addEventListener('popstate', () => {
  document.querySelector('#dh-large dialog')?.close();
  travelling = 'history';
  turn += 1;
  trigger('visit', {address: location.search, key: history.state?.key || '', turn});
});
// What is asked from here on is a step of its own, whether or not the entry was answered.
for (const kind of ['click', 'paste', 'drop']) document.addEventListener(kind, () => { travelling = ''; }, true);
document.addEventListener('keydown', event => { if (event.key === 'Enter') travelling = ''; }, true);
