// Runs once for the parts of the query. The focus stays among them when one is left out.
element.addEventListener('click', event => {
  const button = event.target.closest('[data-part]');
  if (button) trigger('leave', {part: Number(button.dataset.part)});
  const change = event.target.closest('.dh-change');  // on a phone the query is a strip until somebody opens it
  if (change) change.setAttribute('aria-expanded', change.closest('.dh-chips').classList.toggle('dh-open'));
});
keepFocus('li:nth-last-child(2) [data-part]');
