// Prepended to results.js where a panel has pages: a button turns to another one, and its top comes into view. While
// something is computed, the panel asks every second how far it is, if it is seen.
element.addEventListener('click', event => {
  const to = event.target.closest('.dh-to-page');
  if (!to) return;
  trigger('turn', {page: Number(to.dataset.page)});
  if (element.getBoundingClientRect().top < 0) element.scrollIntoView();
});
let asking = 0;
watch('value', () => {
  clearInterval(asking);
  asking = element.querySelector('.dh-working') ? setInterval(() => { if (element.offsetParent) trigger('poll', {}); }, 1000) : 0;
});
