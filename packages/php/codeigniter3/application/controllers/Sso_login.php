<?php
defined('BASEPATH') OR exit('No direct script access allowed');

/** The page of the redirect URI, which is the back-channel logout URI too. */
class Sso_login extends CI_Controller
{
    public function index()
    {
        $this->load->library('sso');
        $this->sso->handle();
    }
}
