// Runs once for the distances and the code: the slider answers at once here, and Python is asked when it is let go.
let waiting = 0;  // for more key presses before the answer replaces the slider
const apply = bits => {
  const section = element.querySelector('.dh-histogram');
  if (!section) return;
  const counts = section.dataset.counts.split(',').map(Number);
  const within = counts.slice(0, bits + 1).reduce((sum, count) => sum + count, 0);
  section.querySelector('.n').textContent = within.toLocaleString('en-GB');
  section.querySelector('.r').textContent = bits + (bits === 1 ? ' bit' : ' bits');
  const beyond = section.querySelector('.beyond'), x = 320 * (bits + 1) / counts.length;
  beyond.setAttribute('x', x);
  beyond.setAttribute('width', Math.max(0, 320 - x));
  section.querySelector('.dh-cutoff').setAttribute('aria-valuetext', bits + (bits === 1 ? ' bit' : ' bits'));
  document.querySelectorAll('#dh-results .dh-card[data-distance]').forEach(card =>
    card.classList.toggle('dh-hidden', Number(card.dataset.distance) > bits));
};
element.addEventListener('input', event => {
  if (event.target.matches('.dh-cutoff')) apply(Number(event.target.value));
});
element.addEventListener('change', event => {
  if (!event.target.matches('.dh-cutoff')) return;
  const bits = Number(event.target.value);
  clearTimeout(waiting);
  waiting = setTimeout(() => trigger('cutoff', {bits}), 200);
});
keepFocus('.dh-cutoff');
element.addEventListener('click', event => {
  const suggest = event.target.closest('.dh-suggest');
  if (suggest) trigger('cutoff', {bits: Number(suggest.dataset.cutoff)});
  const copy = event.target.closest('.dh-copy');
  if (copy && navigator.clipboard) {
    navigator.clipboard.writeText(copy.dataset.hex);
    copy.textContent = 'Copied';
    setTimeout(() => { copy.textContent = 'Copy'; }, 1200);
  }
});
