// Prepended to results.js on the Browse tab: shelves open, and a button leads back to all of them.
element.addEventListener('click', event => {
  const shelf = event.target.closest('.dh-shelf');
  if (shelf) trigger('open', {shelf: Number(shelf.dataset.shelf)});
  if (event.target.closest('.dh-up')) trigger('up', {});
});
