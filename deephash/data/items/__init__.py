"""Lists of items as others write them: tables, COCO's JSON, Hugging Face folders, WebDataset tars. No torch."""
