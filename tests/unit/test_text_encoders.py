"""TF-IDF and bag of words: golden values, the vocabulary on disk, and queries that cannot be answered."""

import json
import math

import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from deephash.backbones import Backbone
from deephash.backbones.text import words_of
from deephash.errors import CollectionDamaged, DataError, UsageError

TEXTS = ["Two dogs on the beach.", "a dog runs; a DOG jumps", "Red car, red house", "the beach at night"]


def fitted(name="tfidf:20", texts=TEXTS, **options):
    encoder = Backbone(name, weights=None, options=options).build()
    encoder.fit_texts(texts)
    return encoder


def test_words():
    assert words_of("The dog's 2 balls_and ÉTÉ") == ["dog", "s", "2", "balls", "été"]


def test_tfidf_is_scikit_learns():
    ours = fitted()
    oracle = TfidfVectorizer(tokenizer=words_of, token_pattern=None, lowercase=False).fit(TEXTS)
    rows = ours(torch.stack([ours.preprocess()(text) for text in TEXTS]))
    expected = oracle.transform(TEXTS).toarray()
    for word, column in oracle.vocabulary_.items():
        torch.testing.assert_close(
            rows[:, ours.terms[word]].double(), torch.from_numpy(expected[:, column]), atol=1e-6, rtol=0
        )
    assert rows[:, len(ours.terms) :].abs().sum() == 0


def test_idf_by_hand_and_bag_of_words():
    ours = fitted()
    assert ours.idf[ours.terms["beach"]] == pytest.approx(math.log(5 / 3) + 1)
    bag = fitted("bow:20")
    assert bag(bag.preprocess()("dog dog car")[None]).sum() == 2


def test_vocabulary_keeps_the_most_frequent_words_in_a_fixed_order():
    assert list(fitted("tfidf:1").terms) == ["beach"]
    assert list(fitted(min_documents=2).terms) == ["beach"]
    assert list(fitted().terms) == list(fitted(texts=reversed(TEXTS)).terms)
    with pytest.raises(UsageError, match="no word that occurs in 9"):
        fitted(min_documents=9)


def test_vocabulary_travels(tmp_path):
    first = fitted()
    first.save_assets(tmp_path)
    reloaded = Backbone("tfidf:20", weights=None, transform=first.spec.transform).build()
    assert reloaded.needs_texts
    reloaded.load_assets(tmp_path)
    assert not reloaded.needs_texts
    counts = first.preprocess()("dog on a beach")
    torch.testing.assert_close(first(counts[None]), reloaded(reloaded.preprocess()("dog on a beach")[None]))
    assert reloaded.spec.transform == first.spec.transform != fitted(texts=TEXTS[:2]).spec.transform
    from_file = Backbone("tfidf:20", weights=str(tmp_path / "vocabulary.json")).build()
    assert from_file.terms == first.terms
    with pytest.raises(UsageError, match="has 3"):
        Backbone("tfidf:3", weights=str(tmp_path / "vocabulary.json")).build()
    (tmp_path / "vocabulary.json").write_text(json.dumps({"words": 3}))
    with pytest.raises(CollectionDamaged, match="copy the model folder again"):
        reloaded.load_assets(tmp_path)
    with pytest.raises(DataError, match="not a vocabulary"):
        Backbone("tfidf:20", weights=str(tmp_path / "vocabulary.json")).build()


def test_queries_without_a_known_word_name_what_would_work():
    ours = fitted()
    with pytest.raises(UsageError, match=r"no word of 'chien'.*--model clip:ViT-B-32"):
        ours.preprocess()("chien")
    with pytest.raises(UsageError, match="did you mean 'beach'"):
        ours.preprocess()("beech")
    with pytest.raises(UsageError, match="no word of 'the of'"):
        ours.preprocess()("the of")
    with pytest.raises(UsageError, match="empty"):
        ours.preprocess()("  ")
    with pytest.raises(UsageError) as far_away:
        ours.preprocess()("purple elephant")
    assert "did you mean" not in str(far_away.value)
    assert "deephash" not in far_away.value.message
    assert ours.unknown_words("dog and chien beech") == [("chien", None), ("beech", "beach")]
    assert ours.preprocess_data()("chien").sum() == 0
    assert ours.neutral().sum() == 0


def test_not_fitted_and_bad_descriptions():
    with pytest.raises(UsageError, match="no vocabulary yet"):
        Backbone("tfidf:20", weights=None).build().preprocess()("dog")
    with pytest.raises(UsageError, match="tfidf:1000 or bow:1000"):
        Backbone("tfidf:many", weights=None).build()
    with pytest.raises(UsageError, match="did you mean 'min_documents'"):
        Backbone("tfidf:5", weights=None, options={"min_document": 2}).build()
