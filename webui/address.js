// Runs once for the results. The address of the page names the query, so that it can be kept or sent; Back and Forward
// walk the queries. (A picture itself never travels in an address, its code does.)
let travelling = 'opened', tries = 0, waiting = 0;  // the first answer is that of the address that was opened
const MOST = 3;
const visit = () => {  // asked again while the answer is that of an entry which a further Back has left
  if (travelling !== 'history') return;
  trigger('visit', {address: location.search, key: history.state?.key || ''});
  clearTimeout(waiting);
  if (tries++ < MOST) waiting = setTimeout(visit, 1500);
};
const bare = address => {  // what cards show is a matter of taste, not of where one is
  const asked = new URLSearchParams(address);
  asked.delete('show');
  return asked.toString();
};

watch('value', () => {
  const shown = element.querySelector('[data-link]'), came = travelling;
  const link = shown?.dataset.link || '';
  if (shown && came === 'history' && bare(link) !== bare(location.search) && tries <= MOST) return;
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
  tries = 0;
  visit();
});
document.addEventListener('click', () => { travelling = ''; }, true);
