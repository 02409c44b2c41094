// Runs once for the parts of the query. The focus stays among them when one is left out.
element.addEventListener('click', event => {
  const button = event.target.closest('[data-part]');
  if (button) trigger('leave', {part: Number(button.dataset.part)});
});
keepFocus('li:last-child [data-part]');
