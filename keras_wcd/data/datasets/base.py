"""A data set that makes batches of its pairs."""

from typing import Any

from keras_wcd.data.contract import PairDataset
from keras_wcd.data.pipeline import batches


class Dataset(PairDataset):
    """What data sets derive from: the contract, and batches."""

    def to_tf_data(self, split: str, batch_size: int, **options: Any) -> Any:
        """A `tf.data.Dataset` of batches (partial, complete); options and errors are those of `Batches`."""
        return batches.to_tf_data(self, split, batch_size, **options)
