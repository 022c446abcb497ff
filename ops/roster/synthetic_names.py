"""Parts of made-up Indonesian names, with a Sasak colour; nobody in particular. Owner: ops/roster."""

_MALE = """
    Abdul Achmad Adi Agus Ahmad Akbar Ali Alwi Amir Andi Anwar Arif Aryadi Asmuni Bambang Bayu Budi
    Burhan Dedi Dian Didik Eko Fadli Fahri Faisal Fathur Fauzan Firman Gunawan Hadi Hafiz Hamdan Hamzah
    Harianto Hasan Hendra Herman Husni Ibrahim Idris Ilham Imam Irfan Irwan Ismail Joko Junaidi Kamarudin
    Khairul Lukman Ma'ruf Mahsun Marzuki Masri Muhammad Muhsin Mukhlis Munawir Mustafa Nasrudin Nurdin
    Rahmat Ramli Ridwan Rizal Rusdi Sahrul Saiful Samsul Sirajudin Suhaimi Sukri Supardi Syafi'i Taufik
    Usman Wahyu Yusuf Zaenal Zainuddin Zulkarnain
"""
_FEMALE = """
    Aini Aisyah Anisa Annisa Apriani Ayu Azizah Dewi Diah Dwi Eka Eliza Endang Erna Fatimah Fauziah Fitri
    Fitriani Halimah Handayani Hartini Hasanah Herlina Hidayati Husnul Ida Ika Indah Inayah Isnaini
    Jumiati Kartika Khadijah Laila Lestari Lilis Lina Maemunah Mariani Marlina Martini Maya Megawati
    Mufidah Murniati Mutiara Nadia Nining Nita Novita Nur Nur'aini Nurhayati Nurhidayah Nurul Puji
    Purnama Qurratul Rabiatul Rahmawati Ratna Rina Rini Rohani Rosmiati Rukmini Sakinah Salmah Sari Siti
    Sri Suci Sulastri Sumiati Susanti Tri Ulfa Wahyuni Wati Widia Yanti Yuliana Yuni Zahra Zulhiati
"""
_LAST = """
    Abdullah Aditya Akmal Alamsyah Amrullah Anggraini Anshori Apriadi Arifin Asmara Astuti Azhari
    Badarudin Bahri Cahyadi Darmawan Efendi Fahmi Fathoni Fikri Firdaus Ghazali Habibi Hakim Halim Hamid
    Hanafi Haris Hartono Hasbi Hidayat Hidayatullah Husein Ihsan Ikhsan Indrawan Irawan Iskandar Jailani
    Jayadi Kurniawan Kusuma Latif Maulana Mahendra Mansur Mardani Mubarak Mulyadi Munandar Mustika
    Nasution Ningsih Nugraha Nurjanah Pratama Prayoga Purnama Putra Putri Rahman Rahmadi Ramadhan Rasyid
    Rosyidi Safitri Saleh Santoso Saputra Septiani Setiawan Sholihin Subhan Sudirman Suharti Sulaiman
    Supriadi Surya Susilawati Syahrani Syukri Tamrin Utami Wardani Wibowo Widodo Wijaya Winarti Yahya
    Yunus Yusrizal Zaini Zakaria Zohri Zuhdi
"""

MALE, FEMALE, LAST = (tuple(words.split()) for words in (_MALE, _FEMALE, _LAST))
DEGREES = ("S.Pd", "S.Pd.I", "S.Pd.SD", "S.Ag", "S.Sos", "S.Si", "S.E.", "M.Pd", "S.Pd, M.Pd", "S.Kom")
